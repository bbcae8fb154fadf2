"""The two threads behind the polling one: a worker that decodes and infers, a writer that commits.

They are joined by short queues. A question (a release, a trial) travels through the writer's queue,
so that it finds everything before it done; a drain travels through both. An order (a claim, a look at
the offsets) waits for nothing but the transaction that is being written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import Empty, Queue
from threading import Event, Thread
from time import monotonic
from typing import TypeVar

from fulgor.consumer.batches import FlushReason
from fulgor.consumer.committer import Committed, Committer
from fulgor.consumer.messages import Assignment, Delivery
from fulgor.consumer.pending import Cut
from fulgor.consumer.pipeline import Pipeline
from fulgor.consumer.poison import is_tried_alone, quarantined
from fulgor.consumer.writing import Command, Writing, answering
from fulgor.errors import BrokerError

__all__ = ["Background", "Drain", "Forget"]

log = logging.getLogger(__name__)
T = TypeVar("T")
_TRIAL_S = 600.0
_RETRY_S = 1.0
_LOOK_S = 0.1


class Drain:
    """A mark in the queues: `done` is set when everything before it is committed."""

    def __init__(self) -> None:
        self.done = Event()


class Forget:
    """A mark in the worker's queue: drop what is pending of this assignment."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment


class Background:
    """Runs a pipeline and a committer on threads of their own.

    Parameters
    ----------
    pipeline : Pipeline
        Used by the worker thread only.
    committer : Committer
        Used by the writer thread only.
    finished : callable
        Called on the writer thread with each :class:`Committed`.
    """

    def __init__(self, pipeline: Pipeline, committer: Committer, finished: Callable[[Committed], None]) -> None:
        self._pipeline = pipeline
        self._committer = committer
        self._finished = finished
        self._stopping = Event()
        self._inbox: Queue[Delivery | Drain | Forget | None] = Queue()  # bounded in bytes by the intake
        self._writing = Writing(committer, finished, self._stopping)
        self.failure: BaseException | None = None
        self._threads = [
            Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in (("fulgor-worker", self._work), ("fulgor-writer", self._writing.run))
        ]

    def start(self) -> None:
        """Start both threads."""
        for thread in self._threads:
            thread.start()

    def put(self, item: Delivery | Drain | Forget) -> None:
        """Queue a message or a mark for the worker."""
        self._inbox.put(item)

    def drain(self, timeout_s: float) -> bool:
        """Finish and commit everything queued so far; False if the time ran out first."""
        mark = Drain()
        self._inbox.put(mark)
        return self._wait(mark.done, timeout_s)

    def ask(self, command: Callable[[], T], timeout_s: float) -> T:
        """Run a command on the writer thread and return its answer.

        Raises
        ------
        TimeoutError
            No answer in time.
        """
        future: Future[T] = Future()
        give_up = monotonic() + timeout_s
        if self._writing.put(answering(command, future), lambda: self.failure is not None or monotonic() >= give_up):
            # A writer that was told to end may have found its queue empty just before.
            writes = self._threads[1].is_alive
            while self.failure is None and writes() and monotonic() < give_up and not wait([future], _LOOK_S).done:
                pass
        self.raise_failure()
        return future.result(0)

    def order(self, command: Command) -> None:
        """Have a command run on the writer thread before all that is queued later; its failure ends the run."""
        self._writing.order(command)

    def offer(self, command: Callable[[], T]) -> Future[T]:
        """Order a command and return its answer to come."""
        return self._writing.offer(command)

    def raise_failure(self) -> None:
        """Raise on this thread what ended one of the others."""
        if self.failure is not None:
            raise self.failure

    def dead_threads(self) -> list[str]:
        """Return the names of the threads that ended although nobody asked them to."""
        if self._stopping.is_set() and self.failure is None:
            return []
        return [thread.name for thread in self._threads if thread.ident is not None and not thread.is_alive()]

    def stop(self, timeout_s: float) -> None:
        """End both threads; what is still queued stays unread and will be read again."""
        self._stopping.set()
        self._inbox.put(None)
        for thread in self._threads:
            thread.join(timeout_s)

    def _wait(self, event: Event, timeout_s: float) -> bool:
        give_up = monotonic() + timeout_s
        while not event.wait(_LOOK_S):
            if monotonic() >= give_up or self.failure is not None:
                return False
        return True

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again on the polling thread by raise_failure
            self.failure = error
            self._stopping.set()
            self._inbox.put(None)

    def _work(self) -> None:
        while not self._stopping.is_set():
            left = self._pipeline.seconds_left()
            # An overdue batch still takes what has arrived already: after a backlog every message is overdue.
            try:
                item = self._inbox.get(timeout=None if left is None else max(left, 0.0))
            except Empty:
                self._hand_over(self._pipeline.cut(FlushReason.DEADLINE))
                continue
            if item is None:
                break
            if isinstance(item, Delivery):
                self._accept(item)
            elif isinstance(item, Forget):
                self._finished(Committed({}, (), self._pipeline.forget(item.assignment)))
            else:
                self._hand_over(self._pipeline.cut(FlushReason.END))
                self._writing.put(item.done.set, self._stopping.is_set)

    def _accept(self, delivery: Delivery) -> None:
        if delivery.assignment.lost:
            self._finished(Committed({}, (), delivery.size))
            return
        alone = is_tried_alone(delivery)
        if alone:
            self._hand_over(self._pipeline.cut(FlushReason.CUT))
            if self._is_poison(delivery):
                return
        self._take_in(delivery)
        if alone:
            self._hand_over(self._pipeline.cut(FlushReason.CUT))

    def _take_in(self, delivery: Delivery) -> None:
        """Give a message to the pipeline; while a schema registry is away, finish what came before it, and wait."""
        while not self._stopping.is_set():
            try:
                self._hand_over(self._pipeline.accept(delivery))
            except BrokerError as error:
                log.warning("waiting: %s", error)
                self._hand_over(self._pipeline.cut(FlushReason.DEADLINE))
                self._stopping.wait(_RETRY_S)
            else:
                return
            if delivery.assignment.lost:
                self._finished(Committed({}, (), delivery.size))
                return

    def _is_poison(self, delivery: Delivery) -> bool:
        """Write down that a message is tried alone; quarantine it if that has killed the process too often."""
        trials = self.ask(lambda: self._committer.note_trial(delivery.assignment, delivery.offset), _TRIAL_S)
        poison = quarantined(delivery, trials)
        if poison is not None:
            log.error(
                "%s: offset %d is quarantined: %s",
                delivery.assignment.partition,
                delivery.offset,
                poison.dead[0].reason,
            )
            self._hand_over(Cut([poison], FlushReason.CUT))
        return poison is not None

    def _hand_over(self, cut: Cut | None) -> None:
        if cut is not None:
            self._writing.put(cut, self._stopping.is_set)
