"""Worker and writer threads: none waits for a dead one, and every byte is given back."""

from __future__ import annotations

import time
from threading import Event

import pytest
from toy import ToyPredictor, ToyStream, message, record

from fulgor.consumer import threads
from fulgor.consumer.committer import Committed
from fulgor.consumer.lineup import Lineup, Scorer
from fulgor.consumer.messages import Assignment, Delivery, Partition
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.pipeline import Pipeline
from fulgor.consumer.threads import Background, Forget
from fulgor.errors import BrokerError, DatabaseError

_HANG_S = 60.0  # a machine may stand still for seconds; whoever waits for ever still ends a test


class Committer:
    """Stands for the database: takes cuts when it is let, or fails."""

    def __init__(self) -> None:
        self.may_go, self.closed, self.fails = Event(), False, False
        self.may_go.set()

    def commit(self, cut) -> Committed:
        self.may_go.wait(_HANG_S)
        if self.fails:
            raise DatabaseError("the database did not come back")
        return Committed({}, (), sum(pending.delivery.size for pending in cut.messages))

    def close(self) -> None:
        self.closed = True


class Registered(ToyStream):
    """A stream whose second message needs a schema registry, which is away at first."""

    def __init__(self) -> None:
        super().__init__()
        self.away, self.asked = True, 0

    def decode(self, value):
        if value == message(record(1)):
            self.asked += 1
            if self.away:
                raise BrokerError("the registry is away")
        return super().decode(value)


class Rig:
    def __init__(
        self, predictor: ToyPredictor | None = None, deadline_s: float = 0.01, stream: ToyStream | None = None
    ) -> None:
        self.committer, self.freed = Committer(), []
        lineup = Lineup(Scorer(1, predictor or ToyPredictor()))
        line = Pipeline(stream or ToyStream(), lineup, batch_size=2, deadline_s=deadline_s, metrics=Metrics())
        self.background = Background(line, self.committer, lambda done: self.freed.append(done.bytes))
        self.background.start()

    def send(self, to: Assignment, count: int) -> int:
        size = 0
        for _ in range(count):
            one = Delivery(to, to.expected, to.expected, message(record(to.expected)), received=time.monotonic())
            to.expected += 1
            size += one.size
            self.background.put(one)
        return size

    def ended(self) -> bool:
        """Stop, and tell whether the threads have ended, instead of being given up."""
        self.background.stop(_HANG_S)
        return not any(thread.is_alive() for thread in self.background._threads)


def assignment(number: int = 0) -> Assignment:
    return Assignment(Partition("t", number), feed_id=number, epoch=1, segment=0, expected=0)


def until(condition) -> None:
    deadline = time.monotonic() + _HANG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_every_byte_is_given_back_whatever_becomes_of_the_message():
    rig = Rig(deadline_s=30)
    kept, gone, never_taken_in = assignment(0), assignment(1), assignment(2)
    sent = rig.send(kept, 2) + rig.send(gone, 1)
    rig.background.put(Forget(gone))
    never_taken_in.lost = True
    sent += rig.send(never_taken_in, 5)
    assert rig.background.drain(_HANG_S)
    assert sum(rig.freed) == sent
    assert rig.ended()
    assert rig.committer.closed


def test_a_worker_that_fails_does_not_hold_up_the_end():
    class Broken(ToyPredictor):
        def predict(self, arrays):
            raise RuntimeError("the device is gone")

    rig = Rig(Broken())
    rig.send(assignment(), 1)
    until(lambda: rig.background.failure is not None)
    with pytest.raises(RuntimeError, match="the device is gone"):
        rig.background.raise_failure()
    assert not rig.background.drain(_HANG_S)
    assert rig.ended()
    assert rig.committer.closed


def test_a_writer_that_fails_holds_up_neither_the_worker_nor_a_question():
    rig = Rig()
    rig.committer.may_go.clear()
    rig.send(assignment(), 100)
    until(lambda: rig.background._writing.queue.full())
    rig.committer.fails = True
    rig.committer.may_go.set()
    with pytest.raises(DatabaseError):
        rig.background.ask(lambda: 1, 3600)  # who waited for the time-out would wait for the test's
    assert rig.ended()


def test_a_question_behind_a_full_queue_times_out():
    rig = Rig()
    rig.committer.may_go.clear()
    rig.send(assignment(), 100)
    until(lambda: rig.background._writing.queue.full())
    with pytest.raises(TimeoutError):
        rig.background.ask(lambda: 1, 0.3)
    rig.committer.may_go.set()
    assert rig.background.ask(lambda: 1, _HANG_S) == 1
    assert rig.ended()


def test_what_is_no_exception_is_a_failure_too():
    class Panicking(ToyPredictor):
        def predict(self, arrays):
            raise SystemExit("a library that ends the process")

    rig = Rig(Panicking())
    rig.send(assignment(), 1)
    until(lambda: rig.background.failure is not None)
    assert rig.ended()


def test_an_order_waits_for_one_transaction_and_not_for_the_queue():
    rig = Rig()
    rig.committer.may_go.clear()
    rig.send(assignment(), 100)
    until(lambda: rig.background._writing.queue.full())
    answer = rig.background.offer(lambda: len(rig.freed))
    rig.committer.may_go.set()
    assert answer.result(_HANG_S) <= 1
    assert rig.ended()


def test_an_order_that_fails_ends_the_run_and_a_question_that_fails_does_not():
    rig = Rig()

    def fail() -> None:
        raise DatabaseError("the database did not come back")

    with pytest.raises(DatabaseError):
        rig.background.ask(fail, _HANG_S)
    assert rig.background.offer(fail).exception(_HANG_S)
    assert rig.background.failure is None
    rig.background.order(fail)
    until(lambda: rig.background.failure is not None)
    assert rig.ended()


def test_what_came_before_waits_for_no_registry(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threads, "_RETRY_S", 0.01)
    stream = Registered()
    rig, to = Rig(deadline_s=30, stream=stream), assignment()
    first = rig.send(to, 1)
    rest = rig.send(to, 1)
    until(lambda: sum(rig.freed) == first)
    until(lambda: stream.asked > 2)
    stream.away = False
    assert rig.background.drain(_HANG_S)
    assert sum(rig.freed) == first + rest
    assert rig.ended()


def test_a_lost_message_waits_for_no_registry(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threads, "_RETRY_S", 0.01)
    rig, to = Rig(deadline_s=30, stream=Registered()), assignment()
    sent = rig.send(to, 2)
    to.lost = True
    rig.background.put(Forget(to))
    assert rig.background.drain(_HANG_S)
    assert sum(rig.freed) == sent
    assert rig.ended()


def test_a_question_to_a_writer_that_has_ended_is_not_waited_for():
    rig = Rig()
    rig.background._stopping.set()
    until(lambda: not rig.background._threads[1].is_alive())
    with pytest.raises(TimeoutError):
        rig.background.ask(lambda: 1, 3600)
    assert rig.ended()
