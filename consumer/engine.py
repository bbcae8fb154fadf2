"""The engine: one group member that turns messages into rows, exactly once.

The calling thread polls and nothing else: database and inference live on threads of their own
(:mod:`fulgor.consumer.threads`). Partitions are paused, never the polling.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import TypeVar

from fulgor.consumer.assignments import Assignments
from fulgor.consumer.committer import Committed, Committer
from fulgor.consumer.health import EngineState
from fulgor.consumer.intake import Intake
from fulgor.consumer.messages import Assignment, Delivery, Partition
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.pipeline import Pipeline
from fulgor.consumer.source import Polled, Source
from fulgor.consumer.threads import Background, Forget
from fulgor.errors import BrokerError, DatabaseError

__all__ = ["Engine", "Limits"]

log = logging.getLogger(__name__)
T = TypeVar("T")
_POLL_S = 0.1
_TICK_S = 1.0
_RECLAIM_S = 10.0
_LOOK_S = 2.0
# Twice this, for a claim may ask twice, must stay below max.poll.interval.ms (300 s): nothing is polled meanwhile.
_ANSWER_S = 120.0
_IDLE_S = 3.0
# Under KIP-848 a member that is given nothing is told nothing: after this long it is ready.
_JOIN_S = 10.0


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
    assignments : Assignments
        Which partitions are held and where they begin.
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
        self, source: Source, pipeline: Pipeline, committer: Committer, assignments: Assignments, *,
        limits: Limits, metrics: Metrics, stopping: Event, on_tick: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._source = source
        self._held = assignments
        self._committer = committer
        self._limits = limits
        self._metrics = metrics
        self._stopping = stopping
        self._on_tick = on_tick or (lambda: None)
        self._intake = Intake(limits.inbox_bytes)
        self._done: deque[Committed] = deque()
        self._background = Background(pipeline, committer, self._done.append)
        self._fenced: dict[Partition, float] = {}
        self._look: Future[list[Assignment]] | None = None
        self._next_look = 0.0
        self._at_end: set[Partition] = set()
        self._idle_since = monotonic()
        self._others_ends: dict[Partition, int] | None = None
        self._next_question = 0.0
        self._was_assigned = False
        self._subscribed = monotonic()

    def state(self) -> EngineState:
        """Return what a readiness check wants to know; called on the polling thread."""
        joined = self._was_assigned or monotonic() - self._subscribed >= _JOIN_S
        return EngineState(joined, self._intake.paused)

    def dead_threads(self) -> list[str]:
        """Return the names of the threads that ended although nobody asked them to."""
        return self._background.dead_threads()

    def run(self, *, until_end: bool = False) -> None:
        """Consume.

        Parameters
        ----------
        until_end : bool
            Stop once every assigned partition has been read to its end and everything is committed.

        Raises
        ------
        FulgorError
            The broker refuses us, or the database did not come back.
        """
        self._background.start()
        try:
            self._subscribed = monotonic()
            self._source.subscribe(self)
            self._loop(until_end)
            self._leave()
        finally:
            self._source.close()
            self._background.stop(self._limits.drain_s)

    def _loop(self, until_end: bool) -> None:
        next_tick = monotonic()
        while not self._stopping.is_set():
            for polled in self._source.poll(_POLL_S):
                self._receive(polled)
            self._settle()
            self._background.raise_failure()
            self._throttle()
            if monotonic() >= next_tick:
                self._tick()
                next_tick = monotonic() + _TICK_S
            if until_end and self._everything_read() and self._everything_stored() and self._others_too():
                return

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Claim the partitions and begin at their stored offsets."""
        self._was_assigned = True
        if not partitions:
            return
        assignments = self._held.claim(partitions, self._ask)
        self._source.assign({held.partition: held.expected for held in assignments})
        self._held.add(assignments)
        log.info("assigned: %s", ", ".join(f"{held.partition} from {held.expected}" for held in assignments))
        if self._intake.paused:
            self._source.pause(partitions)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Finish what was read of these partitions, within a bound, and let them go."""
        held = self._held.of(partitions)
        if held and not self._background.drain(self._limits.drain_s):
            log.warning(
                "not everything could be finished in %.0f s; the next owner reads it again", self._limits.drain_s
            )
            self._drop(held)
        self._settle()
        finished = [assignment for assignment in held if not assignment.lost]
        if finished and self._background.failure is None:
            self._release(finished)
        self._let_go(partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Drop what was read of these partitions: somebody else has them already."""
        log.warning("lost: %s", ", ".join(map(str, partitions)))
        self._drop(self._held.of(partitions))
        self._let_go(partitions)

    def _ask(self, command: Callable[[], T], /) -> T:
        try:
            return self._background.ask(command, _ANSWER_S)
        except TimeoutError:
            raise DatabaseError(
                f"the database gave no answer for {_ANSWER_S:.0f} s while partitions were claimed; start again when it"
                " is back: everything goes on where it was"
            ) from None

    def _release(self, finished: Sequence[Assignment]) -> None:
        try:
            self._background.ask(lambda: self._committer.release(finished), self._limits.drain_s)
        except TimeoutError:
            # All of it is committed; only the note of a departure in good order comes later, or not at all.
            log.warning("the database did not answer in %.0f s to a release", self._limits.drain_s)

    def _drop(self, assignments: Sequence[Assignment]) -> None:
        for assignment in assignments:
            assignment.lost = True
            self._background.put(Forget(assignment))

    def _let_go(self, partitions: Sequence[Partition]) -> None:
        self._source.unassign(partitions)
        self._held.remove(partitions)
        self._at_end.difference_update(partitions)
        for partition in partitions:
            self._fenced.pop(partition, None)

    def _receive(self, polled: Polled) -> None:
        assignment = self._held.get(polled.partition)
        if assignment is None or assignment.lost:
            return  # read under an earlier assignment
        if polled.offset < assignment.expected:
            # Only the broker's word that our offset is out of range counts: an end-of-partition mark may be late.
            if polled.is_mark and polled.cause == "expired":
                raise _gone_back(polled, assignment)
            return  # read before a seek
        if polled.is_mark:
            if polled.cause != "expired":
                self._at_end.add(polled.partition)
            if polled.offset == assignment.expected:
                return
        elif assignment.passes_over(polled.offset):
            return  # the next message, or the mark of the end, accounts for it
        else:
            self._at_end.discard(polled.partition)
            self._metrics.messages.inc()
            self._metrics.note_work()
        delivery = Delivery(
            assignment, polled.offset, assignment.expected, polled.value, polled.key, polled.headers,
            polled.timestamp_ms, monotonic(), polled.is_mark, polled.cause,
        )  # fmt: skip
        assignment.expected = delivery.next_offset
        self._metrics.bytes.inc(len(polled.value or b""))
        self._intake.take(delivery.size)
        self._background.put(delivery)

    def _settle(self) -> None:
        """Take note of what the writer has finished."""
        offsets: dict[Partition, int] = {}
        while self._done:
            committed = self._done.popleft()
            self._intake.give(committed.bytes)
            offsets |= {
                partition: offset for partition, offset in committed.offsets.items() if self._held.get(partition)
            }
            for assignment in committed.fenced:
                self._fence(assignment)
        self._held.note_stored(offsets)
        self._source.report(offsets)

    def _fence(self, assignment: Assignment) -> None:
        log.warning("%s: fenced; somebody else claimed it or moved its offset", assignment.partition)
        assignment.lost = True
        self._background.put(Forget(assignment))
        if self._held.get(assignment.partition) is assignment:
            self._source.pause([assignment.partition])
            self._at_end.discard(assignment.partition)
            self._fenced[assignment.partition] = monotonic()

    def _notice_moves(self) -> None:
        """Look, now and then, whether an operator moved what is held: who writes nothing is never refused."""
        if self._look is not None:
            if not self._look.done():
                return
            moved, self._look = self._look.result(), None
            for assignment in moved:
                if not assignment.lost:
                    self._fence(assignment)
        if monotonic() >= self._next_look:
            held = [assignment for assignment in self._held.all() if not assignment.lost]
            self._look = self._background.offer(lambda: self._committer.moved(held)) if held else None
            self._next_look = monotonic() + _LOOK_S

    def _reclaim(self) -> None:
        """Claim again what the group still says is ours: an operator moved the offset, or the other owner is gone."""
        due = [partition for partition, since in self._fenced.items() if monotonic() - since >= _RECLAIM_S]
        for partition in due:
            del self._fenced[partition]
            [assignment] = self._held.claim([partition], self._ask)
            self._held.add([assignment])
            self._source.seek(partition, assignment.expected)
            if not self._intake.paused:
                self._source.resume([partition])
            log.warning("%s: claimed again, going on at %d", partition, assignment.expected)

    def _throttle(self) -> None:
        if self._intake.should_pause():
            self._intake.paused = True
            self._source.pause(self._held.partitions())
        elif self._intake.should_resume():
            self._intake.paused = False
            self._source.resume([partition for partition in self._held.partitions() if partition not in self._fenced])

    def _tick(self) -> None:
        self._notice_moves()
        self._reclaim()
        self._metrics.in_flight.set(self._intake.held)
        self._metrics.oldest_pending.set(self._intake.oldest_age())
        self._metrics.paused.set(self._intake.paused)
        for assignment in self._held.all():
            end = self._source.end_offset(assignment.partition)
            if end is not None:
                lag = max(end - self._held.stored(assignment.partition), 0)
                self._metrics.lag.labels(assignment.partition.topic, str(assignment.partition.number)).set(lag)
        self._on_tick()

    def _everything_read(self) -> bool:
        partitions = self._held.partitions()
        if not partitions:
            return self._was_assigned and self._nobody_works()
        self._idle_since = monotonic()
        return self._at_end.issuperset(partitions) and not self._fenced

    def _everything_stored(self) -> bool:
        """Commit what was read; False if that takes longer than a drain may, or if some of it was fenced."""
        finished = self._background.drain(self._limits.drain_s)
        self._settle()
        return finished and not self._fenced

    def _others_too(self) -> bool:
        """Tell whether what is not ours is stored up to where it ended when ours was.

        Under KIP-848 a dead member keeps its partitions until its session times out, and we get them only then.
        """
        if self._others_ends is None:
            self._others_ends = self._held.others_ends()
        if monotonic() < self._next_question:
            return False
        self._next_question = monotonic() + _IDLE_S
        return self._held.is_stored(self._others_ends, self._ask)

    def _nobody_works(self) -> bool:
        """Tell, for a member without partitions, whether the group is done: asked now and then, not in every round."""
        if monotonic() - self._idle_since < _IDLE_S:
            return False
        self._idle_since = monotonic()
        return not self._held.others_work(self._ask)

    def _leave(self) -> None:
        """Commit what was read and release the feeds, before the group is left."""
        partitions = self._held.partitions()
        if partitions:
            self.revoked(partitions)
        self._background.raise_failure()
        self._tick()


def _gone_back(polled: Polled, assignment: Assignment) -> BrokerError:
    return BrokerError(
        f"{polled.partition}: the next offset is {assignment.expected}, but the partition ends or begins at"
        f" {polled.offset}: the topic was made anew or cut off. Start again: where the broker gives topics ids, a new"
        " topic is read from its beginning; elsewhere take another --group"
    )
