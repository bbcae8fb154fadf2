"""The engine: one group member that turns messages into rows, exactly once.

The calling thread polls and nothing else: database and inference live on threads of their own
(:mod:`fulgor.consumer.threads`). Partitions are paused, never the polling. Whose partitions are
whose is the business of :mod:`fulgor.consumer.membership`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from time import monotonic

from fulgor.consumer.assignments import Assignments
from fulgor.consumer.claims import Claims, GroupStart
from fulgor.consumer.committer import Committed, Committer
from fulgor.consumer.ending import Ending
from fulgor.consumer.health import EngineState
from fulgor.consumer.intake import Intake
from fulgor.consumer.membership import Membership
from fulgor.consumer.messages import Partition
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.pipeline import Pipeline
from fulgor.consumer.reading import next_delivery
from fulgor.consumer.source import Polled, Source
from fulgor.consumer.threads import Background

__all__ = ["Engine", "Limits"]

_POLL_S = 0.1
_TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one engine: bytes in flight, and seconds for a drain and for a database that went away."""

    inbox_bytes: int
    drain_s: float
    patience_s: float


class Engine:
    """Consumes a source until it is stopped, or until the source's end.

    Parameters
    ----------
    source : Source
        Where messages come from.
    pipeline : Pipeline
        What is done with them.
    committer : Committer
        Where the rows go.
    begin : GroupStart
        As which group, and where it began.
    limits : Limits
        Bounds.
    metrics : Metrics
        Counters.
    stopping : Event
        Set by a signal handler to end the run in good order.
    on_tick : callable, optional
        Called about once a second on the polling thread: status line, log.
    """

    def __init__(
        self, source: Source, pipeline: Pipeline, committer: Committer, begin: GroupStart, *,
        limits: Limits, metrics: Metrics, stopping: Event, on_tick: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._source = source
        self._limits = limits
        self._metrics = metrics
        self._stopping = stopping
        self._on_tick = on_tick or (lambda: None)
        self._intake = Intake(limits.inbox_bytes)
        self._done: deque[Committed] = deque()
        self._background = Background(pipeline, committer, self._done.append)
        self._held = Assignments()
        self._shown: set[Partition] = set()
        self._claims = Claims(source, committer, self._background, begin, patience_s=limits.patience_s)
        self._membership = Membership(
            source, self._held, self._claims, self._background, committer,
            drain_s=limits.drain_s, settle=self._settle,
        )  # fmt: skip
        self._ending = Ending(source, self._held, self._claims, self._background, committer, begin)

    def state(self) -> EngineState:
        """Return what a readiness check wants to know; called on the polling thread."""
        works = self._claims.idle or bool(self._held.all())
        return EngineState(self._joined() and works, self._intake.paused)

    def dead_threads(self) -> list[str]:
        """Return the names of the threads that ended although nobody asked them to."""
        return self._background.dead_threads()

    def run(self, *, until_end: bool = False) -> bool:
        """Consume.

        Parameters
        ----------
        until_end : bool
            Stop once every assigned partition has been read to its end and everything is committed.

        Returns
        -------
        bool
            Whether it came to that end; False if it was told to stop.

        Raises
        ------
        FulgorError
            The broker refuses us, or the database did not come back.
        """
        self._background.start()
        try:
            self._source.subscribe(self._membership)
            ended = self._loop(until_end)
            self._membership.leave()
            self._background.raise_failure()
            self._tick()
            return ended
        finally:
            try:
                self._source.close()
            finally:
                self._background.stop(self._limits.drain_s)

    def _loop(self, until_end: bool) -> bool:
        next_tick = monotonic()
        while not self._stopping.is_set():
            for polled in self._source.poll(_POLL_S):
                self._receive(polled)
            self._settle()
            self._background.raise_failure()
            self._follow()
            self._throttle()
            if monotonic() >= next_tick:
                self._tick()
                next_tick = monotonic() + _TICK_S
            if until_end and self._joined() and self._everything_done():
                return True
        return False

    def _receive(self, polled: Polled) -> None:
        delivery = next_delivery(polled, self._held.get(polled.partition))
        if delivery is None:
            return
        if not delivery.is_mark:
            self._metrics.messages.inc()
            self._metrics.note_work()
        self._metrics.bytes.inc(len(delivery.value or b""))
        self._intake.take(delivery.size)
        self._background.put(delivery)

    def _settle(self) -> None:
        """Take note of what the writer has finished."""
        offsets: dict[Partition, int] = {}
        while self._done:
            committed = self._done.popleft()
            self._intake.give(committed.bytes)
            offsets |= self._held.note_stored(committed.offsets)
            self._membership.fenced(committed.fenced)
        self._source.report(offsets)

    def _follow(self) -> None:
        started = self._membership.follow()
        if started and self._intake.paused:
            self._source.pause(started)

    def _throttle(self) -> None:
        if self._intake.should_pause():
            self._intake.paused = True
            self._source.pause(self._held.partitions())
        elif self._intake.should_resume():
            self._intake.paused = False
            self._source.resume(self._held.partitions())

    def _tick(self) -> None:
        self._metrics.in_flight.set(self._intake.held)
        self._metrics.oldest_pending.set(self._intake.oldest_age())
        self._metrics.paused.set(self._intake.paused)
        self._show_lag()
        self._on_tick()

    def _show_lag(self) -> None:
        held = self._held.partitions()
        for partition in self._shown.difference(held):  # another member shows it now
            self._metrics.lag.remove(partition.topic, str(partition.number))
        self._shown.intersection_update(held)
        for partition in held:
            end = self._source.end_offset(partition)
            if end is not None:
                self._shown.add(partition)
                lag = max(end - self._held.stored(partition), 0)
                self._metrics.lag.labels(partition.topic, str(partition.number)).set(lag)

    def _joined(self) -> bool:
        return self._membership.answered or self._source.is_member()

    def _everything_done(self) -> bool:
        """Tell whether everything is read and stored; False too if storing takes longer than a drain may."""
        if not self._ending.own_read() or not self._background.drain(self._limits.drain_s):
            return False
        self._settle()
        return self._ending.own_read() and self._ending.others_stored()
