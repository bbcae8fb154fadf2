"""The writing side of the engine: claims, commits and releases through one connection.

It lives on its own thread. A database that goes away is waited for; a transaction whose outcome is
unknown (the connection broke between COMMIT and its answer) is settled by reading the feed's row
again: either its offset has moved to where we meant it to, or the same batch is written again under
the same lock, or the feed is not ours any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event
from time import monotonic, perf_counter, time
from typing import NoReturn, TypeVar

import psycopg

from fulgor.consumer.holes import holes
from fulgor.consumer.messages import Assignment, Partition
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.pipeline import Cut, Pending
from fulgor.errors import DatabaseError
from fulgor.storage.database import ANSWER_S, Connection, connect, location, transient, translated
from fulgor.storage.feeds import Claim, FeedKey, claim, note_trial, open_segment, release, stored, unreleased
from fulgor.storage.rows import Batch, Outcome, RawMessage, Run
from fulgor.storage.tables import StreamTable
from fulgor.storage.writer import Announce, FencedError, Writer

__all__ = ["Committed", "Committer", "batch_of"]

log = logging.getLogger(__name__)
T = TypeVar("T")
_RETRY_S = 0.5
# A process that is stopped (SIGSTOP, a laptop asleep) within its transaction would keep the feeds' rows locked, and the
# next owner waiting, for as long as it sleeps. Between two statements of ours lie milliseconds.
_IDLE_MS = 10_000


@dataclass(frozen=True, slots=True)
class Committed:
    """What the polling thread must know of a finished cut."""

    offsets: dict[Partition, int]
    fenced: Sequence[Assignment]
    bytes: int


class Committer:
    """Claims feeds and commits cuts.

    Parameters
    ----------
    url : str
        The database.
    table : StreamTable
        The stream's own table.
    owner : str
        Shown in the feed's row: host and process.
    patience_s : float
        How long to wait for a database that went away.
    metrics : Metrics
        Where outcomes and latencies go.
    stopping : Event
        Set when the process gives up; no wait outlasts it.
    announce : callable, optional
        Called within each transaction with what it stores: anomalies go into the outbox there.
    """

    def __init__(
        self, url: str, table: StreamTable, *,
        owner: str, patience_s: float, metrics: Metrics, stopping: Event, announce: Announce | None = None,
    ) -> None:  # fmt: skip
        self._url = url
        self._table = table
        self._owner = owner
        self._patience_s = patience_s
        self._metrics = metrics
        self._stopping = stopping
        self._announce = announce
        self._connection: Connection | None = None
        self._writer: Writer | None = None

    def claim(self, keys: Sequence[FeedKey]) -> list[Claim]:
        """Raise the epochs of these feeds, all or none."""

        def work(connection: Connection) -> list[Claim]:
            with connection.transaction():
                # In one order, so that two members that claim the same feeds do not wait for each other.
                claims = {
                    key: claim(connection, key, stream=self._table.stream, owner=self._owner) for key in sorted(keys)
                }
            return [claims[key] for key in keys]

        return self._patiently(work)

    def open_segments(self, starts: Sequence[tuple[Claim, int, str]]) -> None:
        """Store where feeds begin that have no offset yet."""

        def work(connection: Connection) -> None:
            for claimed, first_offset, reason in starts:
                open_segment(connection, claimed, first_offset, reason=reason)

        self._patiently(work)

    def unreleased(self, group: str, cluster: str, partitions: Mapping[str, int]) -> int:
        """Return how many of these topics' partitions are still in the hands of a member, or of a dead one."""
        return self._patiently(lambda connection: unreleased(connection, group, cluster, partitions))

    def stored(self, keys: Collection[FeedKey]) -> dict[FeedKey, int]:
        """Return the next offsets of those of these feeds that have one."""
        return self._patiently(lambda connection: stored(connection, keys))

    def note_trial(self, assignment: Assignment, offset: int) -> int:
        """Write down, before the work, that a message is worked on alone; return how often it was."""
        return self._patiently(lambda connection: note_trial(connection, assignment.feed_id, assignment.epoch, offset))

    def release(self, assignments: Sequence[Assignment]) -> None:
        """Note that these feeds were left in good order."""

        def work(connection: Connection) -> None:
            for assignment in assignments:
                release(connection, assignment.feed_id, assignment.epoch)

        self._patiently(work)

    def moved(self, assignments: Sequence[Assignment]) -> list[Assignment]:
        """Return those of these assignments that somebody else claimed, or an operator moved."""

        def work(connection: Connection) -> dict[int, int]:
            rows = connection.execute(
                "SELECT feed_id, epoch FROM fulgor.feed WHERE feed_id = ANY(%s)",
                [[assignment.feed_id for assignment in assignments]],
            ).fetchall()
            return {int(str(feed_id)): int(str(epoch)) for feed_id, epoch in rows}

        found = self._patiently(work)
        return [assignment for assignment in assignments if found.get(assignment.feed_id) != assignment.epoch]

    def commit(self, cut: Cut) -> Committed:
        """Write a cut, less what belongs to lost assignments, and tell what became of it."""
        held = sum(pending.delivery.size for pending in cut.messages)
        messages = [pending for pending in cut.messages if not pending.delivery.assignment.lost]
        batch = batch_of(messages)
        fenced: set[int] = set()
        started = perf_counter()
        while batch.runs:
            try:
                self._count(self._patiently(partial(self._write, batch)))
                break
            except FencedError as error:
                fenced |= self._unsettled(batch, error.feeds)
                batch = batch.without(error.feeds)
        self._metrics.stage_seconds.labels("write").inc(perf_counter() - started)
        self._metrics.stage_items.labels("write").inc(len(batch.results) + len(batch.dead))
        self._observe_latency([pending for pending in messages if pending.delivery.assignment.feed_id not in fenced])
        assignments = {pending.delivery.assignment.feed_id: pending.delivery.assignment for pending in messages}
        offsets = {
            pending.delivery.assignment.partition: pending.delivery.next_offset
            for pending in messages
            if pending.delivery.assignment.feed_id not in fenced
        }
        return Committed(offsets, [assignments[feed] for feed in fenced], held)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = self._writer = None

    def _write(self, batch: Batch, connection: Connection) -> Outcome:
        if self._writer is None:
            self._writer = Writer(connection, self._table, announce=self._announce)
        return self._writer.write(batch)

    def _unsettled(self, batch: Batch, feeds: set[int]) -> set[int]:
        """Return the fenced feeds that are not ours; the others were committed before the answer was lost."""

        def work(connection: Connection) -> dict[int, tuple[object, object]]:
            rows = connection.execute(
                "SELECT feed_id, epoch, next_offset FROM fulgor.feed WHERE feed_id = ANY(%s)", [list(feeds)]
            ).fetchall()
            return {int(str(feed_id)): (epoch, next_offset) for feed_id, epoch, next_offset in rows}

        found = self._patiently(work)
        meant = {run.feed_id: (run.epoch, run.next_offset) for run in batch.runs}
        gone = {feed for feed in feeds if found.get(feed) != meant[feed]}
        for feed in feeds - gone:
            log.info("feed %d: the commit whose answer was lost had gone through", feed)
        return gone

    def _patiently(self, work: Callable[[Connection], T]) -> T:
        give_up = monotonic() + self._patience_s
        while True:
            try:
                done = work(self._connected())
                self._metrics.database_up.set(1)
                return done
            except psycopg.Error as error:
                if not transient(error):
                    with translated(self._url):
                        raise
                problem: Exception = error
            except DatabaseError as error:
                problem = error
            self.close()
            self._metrics.database_up.set(0)
            self._metrics.database_retries.inc()
            if monotonic() >= give_up or self._stopping.is_set():
                self._give_up(problem)
            log.warning("database %s is away, trying again: %s", location(self._url), problem)
            self._stopping.wait(_RETRY_S)

    def _give_up(self, problem: Exception) -> NoReturn:
        if isinstance(problem, psycopg.errors.DiskFull):
            with translated(self._url):
                raise problem
        raise DatabaseError(
            f"database {location(self._url)} did not come back within {self._patience_s:.0f} s: {problem}"
        ) from problem

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = connect(self._url, application=f"fulgor {self._owner}", answer_s=ANSWER_S)
            connection.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, false)", [str(_IDLE_MS)])
            self._connection = connection
        return self._connection

    def _count(self, outcome: Outcome) -> None:
        self._metrics.note_work()
        self._metrics.records.labels("stored").inc(outcome.stored)
        self._metrics.records.labels("duplicate").inc(outcome.duplicates)
        self._metrics.records.labels("dead").inc(len(outcome.dead))
        for letter in outcome.dead:
            self._metrics.dead_letters.labels(letter.stage, letter.error_class).inc()
        for model_id, lost in outcome.shadows_lost.items():
            self._metrics.shadow_lost.labels(str(model_id)).inc(lost)

    def _observe_latency(self, messages: Sequence[Pending]) -> None:
        now = time()
        for pending in messages:
            if pending.delivery.timestamp_ms is not None and not pending.delivery.is_mark:
                self._metrics.observe_latency(now - pending.delivery.timestamp_ms / 1000)


def batch_of(messages: Sequence[Pending]) -> Batch:
    """Collect messages into one transaction: a contiguous run for each of their feeds."""
    runs: dict[int, Run] = {}
    batch = Batch(runs=[], results=[], dead=[], empty=[])
    results, shadows, dead, empty = [], [], [], []
    for pending in messages:
        delivery = pending.delivery
        feed = delivery.assignment.feed_id
        runs[feed] = _extend(runs.get(feed), pending)
        results += pending.results
        shadows += pending.shadows
        dead += pending.dead
        empty += [(feed, delivery.assignment.segment, delivery.offset, *what) for what in pending.empty]
        if not delivery.is_mark:
            batch.messages[feed, delivery.offset] = RawMessage(
                delivery.value, delivery.key, delivery.headers, delivery.timestamp_ms
            )
    return Batch(list(runs.values()), results, dead, empty, batch.messages, shadows)


def _extend(run: Run | None, pending: Pending) -> Run:
    delivery = pending.delivery
    assignment = delivery.assignment
    if run is None:
        run = Run(assignment.feed_id, assignment.epoch, assignment.segment, delivery.previous, delivery.previous)
    if run.next_offset != delivery.previous:
        raise RuntimeError(
            f"{assignment.partition}: offset {delivery.offset} follows {delivery.previous},"
            f" but {run.next_offset} is next"
        )
    found = holes(delivery.previous, delivery.offset, delivery.cause, assignment.skips)
    return Run(run.feed_id, run.epoch, run.segment, run.first_offset, delivery.next_offset, run.holes + found)
