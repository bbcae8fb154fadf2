"""The wish to stop, uttered by a signal and heard by the loops that run meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.resource_tracker import ensure_running
from queue import Empty, SimpleQueue
from threading import Event
from types import FrameType

__all__ = ["Stopping", "stopped_by_signals", "without_ctrl_c"]


class Stopping(Event):
    """An event that a signal handler may set.

    A handler runs in the middle of whatever the main thread does. An :class:`~threading.Event` holds a lock for
    a moment in each of its methods, so that setting it there, or a second signal during the setting, waits for ever
    for a lock that its own thread holds. A :class:`~queue.SimpleQueue` is made for that.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said = False
        self._woken: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Say the wish; it stays."""
        self._said = True
        self._woken.put(None)

    def is_set(self) -> bool:
        """Tell whether it was said."""
        return self._said

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is said, or for so many seconds, and tell whether it was."""
        try:
            self._woken.get(timeout=timeout)
        except Empty:
            return self._said
        self._woken.put(None)  # for whoever waits besides
        return True


@contextmanager
def stopped_by_signals(stopping: Stopping) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into a stop in good order; a second SIGINT interrupts at once.

    Parameters
    ----------
    stopping : Stopping
        Set by the first signal.

    Raises
    ------
    KeyboardInterrupt
        At the second SIGINT.
    """

    def stop(number: int, _: FrameType | None) -> None:
        if stopping.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopping.set()

    kept = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """Keep SIGINT from this thread for a while, and from the processes that it starts meanwhile until they unblock it.

    A terminal sends a Ctrl-C to a command and to all of its processes: one that is still loading would answer with a
    traceback, whatever it is to do with signals later.
    """
    ensure_running()  # multiprocessing's own helper: started along with the first process, it would let SIGINT in again
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)
