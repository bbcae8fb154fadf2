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
from time import perf_counter, time
from typing import NamedTuple

import psycopg

from fulgor.consumer.holes import holes
from fulgor.consumer.messages import Assignment, Partition
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.patience import Patient
from fulgor.consumer.pending import Cut, Pending
from fulgor.storage.database import Connection
from fulgor.storage.feeds import (
    Claim,
    FeedKey,
    FeedState,
    claim,
    end_sleepers,
    note_trial,
    open_segment,
    read_states,
    release,
    stored,
)
from fulgor.storage.rows import Batch, Outcome, RawMessage, Run
from fulgor.storage.tables import StreamTable
from fulgor.storage.writer import Announce, FencedError, Writer

__all__ = ["Committed", "Committer", "Fenced", "batch_of"]

log = logging.getLogger(__name__)


class Fenced(NamedTuple):
    """An assignment that may not write any more: taken by another member, or else moved by an operator."""

    assignment: Assignment
    taken: bool


@dataclass(frozen=True, slots=True)
class Committed:
    """What the polling thread must know of a finished cut."""

    offsets: dict[Partition, int]
    fenced: Sequence[Fenced]
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
    patience_s, drain_s : float
        How long to wait for a database that went away; how long when the process shall end.
    metrics : Metrics
        Where outcomes and latencies go.
    stopping : Event
        Set when the process shall end.
    announce : callable, optional
        Called within each transaction with what it stores: anomalies go into the outbox there.
    """

    def __init__(
        self, url: str, table: StreamTable, *,
        owner: str, patience_s: float, drain_s: float, metrics: Metrics, stopping: Event,
        announce: Announce | None = None,
    ) -> None:  # fmt: skip
        self._database = Patient(url, owner, patience_s=patience_s, drain_s=drain_s, metrics=metrics, stopping=stopping)
        self._table = table
        self._owner = owner
        self._metrics = metrics
        self._announce = announce
        self._writer: tuple[Connection, Writer] | None = None

    def claim(self, wanted: Callable[[], Sequence[FeedKey]]) -> dict[FeedKey, Claim]:
        """Raise the epochs of feeds, all or none.

        Parameters
        ----------
        wanted : callable
            Returns the feeds to claim; called again before each try, for by then some may be wanted no more.
        """

        def work(connection: Connection) -> dict[FeedKey, Claim]:
            try:
                with connection.transaction():
                    # In one order, so that two members that claim the same feeds do not wait for each other.
                    return {
                        key: claim(connection, key, stream=self._table.stream, owner=self._owner)
                        for key in sorted(wanted())
                    }
            except psycopg.errors.LockNotAvailable:
                if ended := end_sleepers(connection):
                    log.warning("ended the sessions of %d members that stand still within their transactions", ended)
                raise

        return self._database.run(work)

    def open_segments(self, starts: Sequence[tuple[Claim, int, str]]) -> None:
        """Store where feeds begin that have no offset yet."""

        def work(connection: Connection) -> None:
            for claimed, first_offset, reason in starts:
                open_segment(connection, claimed, first_offset, reason=reason)

        self._database.run(work)

    def stored(self, keys: Collection[FeedKey]) -> dict[FeedKey, int]:
        """Return the next offsets of those of these feeds that have one."""
        return self._database.run(lambda connection: stored(connection, keys))

    def note_trial(self, assignment: Assignment, offset: int) -> int:
        """Write down, before the work, that a message is worked on alone; return how often it was."""
        return self._database.run(
            lambda connection: note_trial(connection, assignment.feed_id, assignment.epoch, offset)
        )

    def release(self, claims: Sequence[Assignment | Claim]) -> None:
        """Note that these feeds were left in good order."""

        def work(connection: Connection) -> None:
            for one in claims:
                release(connection, one.feed_id, one.epoch)

        self._database.run(work)

    def moved(self, assignments: Sequence[Assignment]) -> list[Fenced]:
        """Return those of these assignments that somebody else claimed, or an operator moved."""
        found = self._states([assignment.feed_id for assignment in assignments])
        return [
            _fenced(assignment, found)
            for assignment in assignments
            if assignment.feed_id not in found or found[assignment.feed_id].epoch != assignment.epoch
        ]

    def commit(self, cut: Cut) -> Committed:
        """Write a cut, less what belongs to lost assignments, and tell what became of it."""
        held = sum(pending.delivery.size for pending in cut.messages)
        messages = [pending for pending in cut.messages if not pending.delivery.assignment.lost]
        assignments = {pending.delivery.assignment.feed_id: pending.delivery.assignment for pending in messages}
        batch = batch_of(messages)
        fenced: dict[int, Fenced] = {}
        started = perf_counter()
        while batch.runs:
            try:
                self._count(self._database.run(partial(self._write, batch)))
                break
            except FencedError as error:
                fenced |= self._unsettled(batch, error.feeds, assignments)
                batch = batch.without(error.feeds)
        self._metrics.stage_seconds.labels("write").inc(perf_counter() - started)
        self._metrics.stage_items.labels("write").inc(len(batch.results) + len(batch.dead))
        written = [pending for pending in messages if pending.delivery.assignment.feed_id not in fenced]
        self._observe_latency(written)
        offsets = {pending.delivery.assignment.partition: pending.delivery.next_offset for pending in written}
        return Committed(offsets, list(fenced.values()), held)

    def close(self) -> None:
        """Close the connection."""
        self._database.close()
        self._writer = None

    def _write(self, batch: Batch, connection: Connection) -> Outcome:
        if self._writer is None or self._writer[0] is not connection:
            self._writer = connection, Writer(connection, self._table, announce=self._announce)
        return self._writer[1].write(batch)

    def _unsettled(self, batch: Batch, feeds: set[int], assignments: Mapping[int, Assignment]) -> dict[int, Fenced]:
        """Return the fenced feeds that are not ours; the others were committed before the answer was lost."""
        found = self._states(feeds)
        meant = {run.feed_id: (run.epoch, run.next_offset) for run in batch.runs}
        gone = {}
        for feed in feeds:
            if feed in found and (found[feed].epoch, found[feed].next_offset) == meant[feed]:
                log.info("feed %d: the commit whose answer was lost had gone through", feed)
            else:
                gone[feed] = _fenced(assignments[feed], found)
        return gone

    def _states(self, feeds: Collection[int]) -> dict[int, FeedState]:
        return self._database.run(lambda connection: read_states(connection, feeds))

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


def _fenced(assignment: Assignment, found: Mapping[int, FeedState]) -> Fenced:
    state = found.get(assignment.feed_id)
    # An operator raises the epoch and leaves the claim as it was.
    return Fenced(assignment, taken=state is None or state.claimed_at != assignment.claimed_at)


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
