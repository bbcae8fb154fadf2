"""The writer thread's end: nothing that was asked for before it is left undone."""

from __future__ import annotations

from queue import Empty, Queue
from threading import Event, Thread

from fulgor.consumer.writing import Writing


class Found(Queue):
    """A queue that waits, once it was found empty, until it is let go."""

    def __init__(self) -> None:
        super().__init__(2)
        self.empty, self.go_on = Event(), Event()

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        try:
            return super().get(block, timeout)
        except Empty:
            self.empty.set()
            self.go_on.wait(60)
            raise


class Committer:
    def close(self) -> None:
        pass


def test_an_order_just_before_the_end_is_obeyed():
    stopping, done = Event(), Event()
    writing = Writing(Committer(), lambda _: None, stopping)
    writing.queue = queue = Found()
    thread = Thread(target=writing.run, daemon=True)
    thread.start()
    assert queue.empty.wait(60)
    writing.order(done.set)
    stopping.set()
    queue.go_on.set()
    thread.join(60)
    assert (done.is_set(), thread.is_alive()) == (True, False)
