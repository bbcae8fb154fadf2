"""The exactly-once writer: rows and the next offsets in one transaction.

1. Lock the feeds' rows; compare epoch and offset: a mismatch is a fenced writer.
2. COPY the results into a temporary table; insert them, the known ones becoming duplicates and
   other content under a known id a dead letter of class ``variant``.
3. Insert dead letters, empty messages and holes.
4. Move the feeds' offsets. Commit.

A data error of the database (SQLSTATE 22, 23, a NUL byte) is bisected under savepoints down to the
one record, which becomes a dead letter; the rest of the batch is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from fulgor.storage.database import Connection
from fulgor.storage.partitions import Partitions
from fulgor.storage.rows import Batch, Coordinates, DeadLetter, Outcome, RawMessage, Result, Run
from fulgor.storage.stage import Stage
from fulgor.storage.tables import StreamTable

__all__ = ["FencedError", "Writer"]


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


class Writer:
    """Writes batches of one stream and model through one connection.

    Parameters
    ----------
    connection : Connection
        In autocommit mode; the writer alone uses it.
    table : StreamTable
        The stream's own table.
    model_id : int
        The model that made the results.
    """

    def __init__(self, connection: Connection, table: StreamTable, model_id: int) -> None:
        self._connection = connection
        self._table = table
        self._partitions = Partitions(connection, table)
        self._stage = Stage(connection, table, model_id)

    def write(self, batch: Batch) -> Outcome:
        """Write a batch and move its feeds' offsets in one transaction.

        Raises
        ------
        FencedError
            Nothing was written; write the batch again without these feeds.
        psycopg.Error
            The connection or the server failed; whether the transaction was committed is unknown.
        """
        self._partitions.ensure(row.time for row in batch.results)
        with self._connection.transaction():
            self._lock(batch.runs)
            outcome = self._account(batch)
            for run in batch.runs:
                self._move(run)
        return outcome

    def redrive(self, batch: Batch) -> Outcome:
        """Store results of messages whose offsets were accounted for long ago, and close their dead letters."""
        self._partitions.ensure(row.time for row in batch.results)
        with self._connection.transaction():
            outcome = self._account(batch)
            still_dead = {letter.at for letter in outcome.dead}
            done = [row.at for row in batch.results if row.at not in still_dead]
            self._close_dead_letters(done)
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
        self._bury(outcome.dead, batch.messages)
        self._insert_empty(batch.empty)
        return outcome

    def _store(self, results: list[Result], outcome: Outcome) -> None:
        if not results:
            return
        try:
            with self._connection.transaction():
                stored, duplicates, variants = self._stage.store(results)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            self._bisect(results, outcome, error)
            return
        outcome.stored += stored
        outcome.duplicates += duplicates
        outcome.dead += variants

    def _bisect(self, results: list[Result], outcome: Outcome, error: psycopg.Error) -> None:
        if len(results) == 1:
            reason = str(error).strip().splitlines()[0]
            outcome.dead.append(DeadLetter(results[0].at, "database", type(error).__name__, reason))
            return
        middle = len(results) // 2
        self._store(results[:middle], outcome)
        self._store(results[middle:], outcome)

    def _bury(self, letters: Iterable[DeadLetter], messages: dict[tuple[int, int], RawMessage]) -> None:
        letters = list(letters)
        if not letters:
            return
        with self._connection.cursor() as cursor:
            kept = {(x.at.feed_id, x.at.segment, x.at.offset): messages[x.at.feed_id, x.at.offset] for x in letters}
            cursor.executemany(_DEAD_MESSAGE, [_message_values(where, message) for where, message in kept.items()])
            cursor.executemany(
                _DEAD_LETTER, [(self._table.stream, *x.at, x.stage, x.error_class, _text(x.reason)) for x in letters]
            )

    def _close_dead_letters(self, done: Sequence[Coordinates]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE fulgor.dead_letter SET status = 'redriven', attempts = attempts + 1, last_tried = now()"
                ' WHERE feed_id = %s AND segment = %s AND "offset" = %s AND record = %s AND item = %s',
                [at[:5] for at in done],
            )

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


_DEAD_MESSAGE = sql.SQL(
    'INSERT INTO fulgor.dead_message (feed_id, segment, "offset", value, key, headers, timestamp_ms)'
    " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
# A redriven record that fails again keeps its row and counts the attempt.
_DEAD_LETTER = sql.SQL(
    'INSERT INTO fulgor.dead_letter (stream, feed_id, segment, "offset", record, item, records, items,'
    " stage, error_class, reason) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
    ' ON CONFLICT (feed_id, segment, "offset", record, item) DO UPDATE SET stage = excluded.stage,'
    " error_class = excluded.error_class, reason = excluded.reason,"
    " records = excluded.records, items = excluded.items, attempts = dead_letter.attempts + 1,"
    " last_tried = now(), status = 'dead'"
)


def _message_values(where: tuple[int, int, int], message: RawMessage) -> tuple[object, ...]:
    headers = [[name, None if value is None else value.hex()] for name, value in message.headers]
    return (*where, message.value, message.key, Jsonb(headers), message.timestamp_ms)


def _text(reason: str) -> str:
    return reason.replace("\x00", "\\x00")[:4000]  # Postgres text holds no NUL; a reason is no place for a megabyte
