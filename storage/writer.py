"""The exactly-once writer: rows and the next offsets in one transaction.

1. Lock the feeds' rows; compare epoch and offset: a mismatch is a fenced writer.
2. COPY the results into a temporary table; insert them, the known ones becoming duplicates and
   other content under a known id a dead letter of class ``variant``.
3. Insert rows of shadow models beside them, each model under a savepoint of its own.
4. Insert dead letters, empty messages and holes.
5. Move the feeds' offsets. Commit.

A data error of the database (SQLSTATE 22, 23, a NUL byte, a key too long for its index) is bisected
under savepoints down to the one record, which becomes a dead letter; the rest of the batch is stored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import groupby

import psycopg

from fulgor.storage.database import DATA_ERRORS, Connection
from fulgor.storage.partitions import Partitions
from fulgor.storage.quarantine import answering, bury, close, lock_open
from fulgor.storage.rows import Batch, DeadLetter, Outcome, Result, Run
from fulgor.storage.stage import Stage
from fulgor.storage.tables import StreamTable

__all__ = ["Announce", "FencedError", "PartitionGoneError", "Writer"]

log = logging.getLogger(__name__)
Announce = Callable[[Connection, Sequence[Result]], None]


class FencedError(Exception):
    """Somebody else claimed these feeds, or their offset is not where we left it.

    Parameters
    ----------
    feeds : set of int
        The feeds that may not be written any more.
    """

    def __init__(self, feeds: set[int]) -> None:
        super().__init__(f"fenced on feeds {sorted(feeds)}")
        self.feeds = feeds


class PartitionGoneError(psycopg.OperationalError):
    """A partition that the writer had seen was dropped meanwhile; the same batch can be written again."""


class Writer:
    """Writes batches of one stream through one connection.

    Parameters
    ----------
    connection : Connection
        In autocommit mode; the writer alone uses it.
    table : StreamTable
        The stream's own table.
    announce : callable, optional
        Called with the connection and a batch's results within the transaction, once they are stored.
    """

    def __init__(self, connection: Connection, table: StreamTable, *, announce: Announce | None = None) -> None:
        self._connection = connection
        self._announce = announce
        self._table = table
        self._partitions = Partitions(connection, table)
        self._stage = Stage(connection, table)

    def write(self, batch: Batch) -> Outcome:
        """Write a batch and move its feeds' offsets in one transaction.

        Raises
        ------
        FencedError
            Nothing was written; write the batch again without these feeds.
        psycopg.Error
            The connection or the server failed; whether the transaction was committed is unknown.
        """
        try:
            return self._write(batch)
        except PartitionGoneError:
            self._partitions.forget()
            return self._write(batch)

    def redrive(self, batch: Batch) -> Outcome:
        """Write what became of dead messages whose offsets were accounted for long ago, and close their dead letters.

        Rows that answer no open dead letter are left out: they are stored, or somebody else has just
        redriven them.

        Parameters
        ----------
        batch : Batch
            Without runs; ``messages`` must hold the bytes behind every row.
        """
        try:
            return self._redrive(batch)
        except PartitionGoneError:
            self._partitions.forget()
            return self._redrive(batch)

    def _redrive(self, batch: Batch) -> Outcome:
        self._partitions.ensure(row.time for row in batch.results)
        with self._connection.transaction():
            batch = answering(batch, lock_open(self._connection, batch))
            outcome = self._account(batch)
            still_dead = {letter.at for letter in outcome.dead}
            done = {row.at[:5] for row in batch.results if row.at not in still_dead}
            empty = {(*row[:3], max(row[3], 0), 0) for row in batch.empty}
            close(self._connection, done | empty)
        return outcome

    def _write(self, batch: Batch) -> Outcome:
        self._partitions.ensure(row.time for row in batch.results)
        with self._connection.transaction():
            self._lock(batch.runs)
            outcome = self._account(batch)
            for run in batch.runs:
                self._move(run)
        return outcome

    def _lock(self, runs: Sequence[Run]) -> None:
        wanted = {run.feed_id: (run.epoch, run.first_offset) for run in runs}
        rows = self._connection.execute(
            "SELECT feed_id, epoch, next_offset FROM fulgor.feed WHERE feed_id = ANY(%s) ORDER BY feed_id FOR UPDATE",
            [list(wanted)],
        ).fetchall()
        found = {feed_id: (epoch, next_offset) for feed_id, epoch, next_offset in rows}
        fenced = {feed_id for feed_id, state in wanted.items() if found.get(feed_id) != state}
        if fenced:
            raise FencedError(fenced)

    def _account(self, batch: Batch) -> Outcome:
        outcome = Outcome(dead=list(batch.dead))
        self._store(list(batch.results), outcome)
        for model_id, rows in groupby(sorted(batch.shadows, key=_model), key=_model):
            self._store_beside(model_id, list(rows), outcome)
        bury(self._connection, self._table.stream, outcome.dead, batch.messages)
        self._insert_empty(batch.empty)
        if self._announce is not None:
            self._announce(self._connection, batch.results)
        return outcome

    def _store(self, results: list[Result], outcome: Outcome) -> None:
        if not results:
            return
        try:
            with self._connection.transaction():
                stored, duplicates, variants = self._stage.store(results)
        except DATA_ERRORS as error:
            if _no_partition(error):
                raise PartitionGoneError(str(error)) from error
            self._bisect(results, outcome, error)
            return
        outcome.stored += stored
        outcome.duplicates += duplicates
        outcome.dead += variants

    def _store_beside(self, model_id: int, results: list[Result], outcome: Outcome) -> None:
        try:
            with self._connection.transaction():
                self._stage.store_shadows(results)
        except DATA_ERRORS as error:
            if _no_partition(error):
                raise PartitionGoneError(str(error)) from error
            log.error("shadow model %d: the database refuses its %d rows: %s", model_id, len(results), error)
            outcome.shadows_lost[model_id] = len(results)

    def _bisect(self, results: list[Result], outcome: Outcome, error: psycopg.Error) -> None:
        if len(results) == 1:
            reason = f"alert {results[0].alert}: {str(error).strip().splitlines()[0]}"
            outcome.dead.append(DeadLetter(results[0].at, "database", type(error).__name__, reason))
            return
        middle = len(results) // 2
        self._store(results[:middle], outcome)
        self._store(results[middle:], outcome)

    def _insert_empty(self, empty: Sequence[tuple[int, int, int, int, int]]) -> None:
        if empty:
            with self._connection.cursor() as cursor:
                cursor.executemany(
                    'INSERT INTO fulgor.empty (feed_id, segment, "offset", record, records) VALUES (%s, %s, %s, %s, %s)'
                    " ON CONFLICT DO NOTHING",
                    empty,
                )

    def _move(self, run: Run) -> None:
        for hole in run.holes:
            self._connection.execute(
                "INSERT INTO fulgor.skipped (feed_id, segment, first_offset, next_offset, cause, note)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                [run.feed_id, run.segment, hole.first_offset, hole.next_offset, hole.cause, hole.note],
            )
        self._connection.execute(
            "UPDATE fulgor.feed SET next_offset = %s WHERE feed_id = %s", [run.next_offset, run.feed_id]
        )


def _model(row: Result) -> int:
    return row.model_id


def _no_partition(error: psycopg.Error) -> bool:
    """Tell a row that no partition takes from a violated constraint: only the constraint has a name."""
    return isinstance(error, psycopg.errors.CheckViolation) and error.diag.constraint_name is None
