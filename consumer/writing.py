"""The writer thread's work: cuts in the order in which they come, questions among them, orders between them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, Full, Queue, SimpleQueue
from threading import Event
from typing import Any, TypeVar

from fulgor.consumer.committer import Committed, Committer
from fulgor.consumer.pending import Cut

__all__ = ["Command", "Writing", "answering"]

T = TypeVar("T")
Command = Callable[[], None]
_CUTS_AHEAD = 2
_LOOK_S = 0.1


class Writing:
    """What one thread does to the database, and nobody else.

    Parameters
    ----------
    committer : Committer
        Used by that thread only, and closed by it.
    finished : callable
        Called on that thread with each :class:`Committed`.
    stopping : Event
        Set when the thread shall end as soon as nothing is queued.
    """

    def __init__(self, committer: Committer, finished: Callable[[Committed], None], stopping: Event) -> None:
        self._committer = committer
        self._finished = finished
        self._stopping = stopping
        self.queue: Queue[Cut | Command] = Queue(_CUTS_AHEAD)
        self._orders: SimpleQueue[Command] = SimpleQueue()

    def put(self, item: Cut | Command, given_up: Callable[[], bool]) -> bool:
        """Queue a piece of work; False if the wait for a free place was given up, for the thread may be dead."""
        while True:
            try:
                self.queue.put(item, timeout=_LOOK_S)
            except Full:
                if given_up():
                    return False
            else:
                return True

    def order(self, command: Command) -> None:
        """Have a command run before all that is queued later; its failure ends the thread."""
        self._orders.put(command)
        with suppress(Full):  # if it is, there is work before it, and orders are looked for then
            self.queue.put_nowait(_nothing)

    def offer(self, command: Callable[[], T]) -> Future[T]:
        """Order a command and return its answer to come."""
        future: Future[T] = Future()
        self.order(answering(command, future))
        return future

    def run(self) -> None:
        """Work until the end is asked for and nothing is left; the thread's body."""
        try:
            while (item := self._next()) is not None:
                self._obey()
                if isinstance(item, Cut):
                    self._finished(self._committer.commit(item))
                else:
                    item()
        finally:
            self._committer.close()

    def _obey(self) -> None:
        while True:
            try:
                command = self._orders.get_nowait()
            except Empty:
                return
            command()

    def _next(self) -> Cut | Command | None:
        """Return the next piece of work, None when there is none left and the end was asked for."""
        while True:
            last = self._stopping.is_set()  # before the look: what was queued before the end was asked for is done
            try:
                return self.queue.get(timeout=0.0 if last else _LOOK_S)
            except Empty:
                if last:
                    return None


def answering(command: Callable[[], T], future: Future[T]) -> Command:
    """Return a command that gives its answer, or its error, to a future."""
    return partial(_answer, command, future)


def _answer(command: Callable[[], Any], future: Future[Any]) -> None:
    try:
        future.set_result(command())
    except Exception as error:  # noqa: BLE001 - raised where the answer is awaited
        future.set_exception(error)


def _nothing() -> None:
    """Wake the thread: it looks at its orders before each piece of work."""
