"""The engine's polling thread against a source and a database that do as they are told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from threading import Event

import pytest
from toy import ToyPredictor, ToyStream, message, record

from fulgor.consumer import engine as engine_module
from fulgor.consumer.assignments import Assignments
from fulgor.consumer.committer import Committed
from fulgor.consumer.engine import Engine, Limits
from fulgor.consumer.lineup import Lineup, Scorer
from fulgor.consumer.messages import Assignment, Partition
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.pipeline import Pipeline
from fulgor.consumer.source import Listener, Polled
from fulgor.errors import BrokerError, DatabaseError
from fulgor.storage.feeds import Claim
from fulgor.storage.rows import Hole

HERE = Partition("t", 0)


class Source:
    """One partition of messages in memory. ``script`` runs once before the poll of its number."""

    cluster = "c"

    def __init__(self, values: Sequence[bytes], at_a_time: int = 10) -> None:
        self.values, self.at_a_time = values, at_a_time
        self.position: int | None = None
        self.paused, self.end_told = False, False
        self.script: dict[int, Callable[[], None]] = {}
        self.polls, self.seeks = 0, []
        self.marks: list[Polled] = []

    def topic_id(self, topic: str) -> str:
        return ""

    def partitions(self) -> Mapping[str, int]:
        return {"t": 1}

    def subscribe(self, listener: Listener) -> None:
        self.listener = listener
        self.script.setdefault(0, lambda: listener.assigned([HERE]))

    def poll(self, timeout_s: float) -> list[Polled]:
        if step := self.script.pop(self.polls, None):
            step()
        self.polls += 1
        if self.marks:
            return [self.marks.pop()]
        if self.position is None or self.paused:
            Event().wait(0.005)
            return []
        end = min(self.position + self.at_a_time, len(self.values))
        if self.position == end:
            told, self.end_told = self.end_told, True
            return [] if told else [Polled(HERE, end, is_mark=True)]
        found = [Polled(HERE, offset, self.values[offset]) for offset in range(self.position, end)]
        self.position = end
        return found

    def start_offset(self, partition: Partition, start: str) -> int:
        return 0

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        self.position, self.paused, self.end_told = offsets[HERE], False, False

    def unassign(self, partitions: Collection[Partition]) -> None:
        self.position = None

    def seek(self, partition: Partition, offset: int) -> None:
        self.seeks.append(offset)
        self.position, self.end_told = offset, False

    def pause(self, partitions: Collection[Partition]) -> None:
        self.paused = self.paused or HERE in partitions

    def resume(self, partitions: Collection[Partition]) -> None:
        self.paused = self.paused and HERE not in partitions

    def report(self, offsets: Mapping[Partition, int]) -> None:
        pass

    def end_offset(self, partition: Partition) -> int | None:
        return len(self.values)

    def close(self) -> None:
        pass


class Committer:
    """A feed in memory, with the same epochs and offsets as the real one."""

    def __init__(self) -> None:
        self.epoch, self.next_offset, self.released = 0, 0, 0
        self.stored: list[int] = []
        self.silent = Event()
        self.before_commit: Callable[[], None] = lambda: None

    def claim(self, keys) -> list[Claim]:
        self.epoch += 1
        return [Claim(1, self.epoch, 0, self.next_offset, 1) for _ in keys]

    def release(self, assignments) -> None:
        self.silent.wait(20)
        self.released += 1

    def unreleased(self, group, cluster, partitions) -> int:
        return 0

    def moved(self, assignments) -> list[Assignment]:
        return [assignment for assignment in assignments if assignment.epoch != self.epoch]

    def commit(self, cut) -> Committed:
        self.before_commit()
        held = sum(pending.delivery.size for pending in cut.messages)
        messages = [pending for pending in cut.messages if not pending.delivery.assignment.lost]
        if not messages:
            return Committed({}, (), held)
        first, last = messages[0].delivery, messages[-1].delivery
        if (first.assignment.epoch, first.previous) != (self.epoch, self.next_offset):
            return Committed({}, [first.assignment], held)
        self.stored += [pending.delivery.offset for pending in messages if not pending.delivery.is_mark]
        self.next_offset = last.next_offset
        return Committed({HERE: last.next_offset}, (), held)

    def close(self) -> None:
        pass


def build(source: Source, committer: Committer, *, inbox_bytes: int = 1 << 20, drain_s: float = 5) -> Engine:
    committer.silent.set()
    lineup, metrics = Lineup(Scorer(1, ToyPredictor())), Metrics()
    line = Pipeline(ToyStream(), lineup, batch_size=4, deadline_s=0.01, metrics=metrics)
    held = Assignments(source, committer, "g", start="earliest", first={"t": 1})
    limits = Limits(inbox_bytes, drain_s, 5)
    return Engine(source, line, committer, held, limits=limits, metrics=metrics, stopping=Event())


def values(count: int) -> list[bytes]:
    return [message(record(index)) for index in range(count)]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reclaim what was fenced at once."""
    monkeypatch.setattr(engine_module, "_RECLAIM_S", 0.2)
    monkeypatch.setattr(engine_module, "_TICK_S", 0.05)
    monkeypatch.setattr(engine_module, "_LOOK_S", 0.1)


def fence_once(committer: Committer) -> None:
    """Let somebody else claim the feed just before a commit."""

    def claimed() -> None:
        committer.epoch += 1
        committer.before_commit = lambda: None

    committer.before_commit = claimed


@pytest.mark.usefixtures("soon")
def test_a_fenced_partition_is_read_again_before_the_run_ends():
    source, committer = Source(values(60), at_a_time=100), Committer()
    fence_once(committer)
    build(source, committer).run(until_end=True)
    assert source.seeks == [0]
    assert committer.stored == list(range(60))
    assert committer.released == 1


@pytest.mark.usefixtures("soon")
def test_a_rewind_is_noticed_by_a_consumer_that_has_nothing_to_do():
    source, committer = Source(values(20)), Committer()
    engine = build(source, committer)

    def rewind() -> None:
        if len(committer.stored) == 20 and committer.epoch == 1:
            committer.epoch, committer.next_offset = 2, 15
        if len(committer.stored) == 25:
            engine._stopping.set()

    engine._on_tick = rewind
    engine.run()
    assert committer.stored == [*range(20), *range(15, 20)]


def test_offsets_that_an_operator_wants_passed_over_are_not_decoded():
    source, committer = Source(values(20)), Committer()
    claim = committer.claim
    orders = (Hole(3, 5, "operator"), Hole(19, 20, "operator"))
    committer.claim = lambda keys: [replace(claimed, skips=orders) for claimed in claim(keys)]
    build(source, committer).run(until_end=True)
    assert committer.stored == [0, 1, 2, *range(5, 19)]
    assert committer.next_offset == 20


def test_the_run_does_not_end_before_a_slow_database_has_everything():
    source, committer = Source(values(20), at_a_time=100), Committer()
    slow = Event()
    committer.before_commit = lambda: slow.wait(0.5) and None
    build(source, committer, drain_s=0.1).run(until_end=True)
    assert committer.stored == list(range(20))
    assert committer.released == 1


@pytest.mark.usefixtures("soon")
def test_a_fenced_partition_claimed_again_stays_paused_under_back_pressure():
    source, committer = Source(values(60)), Committer()
    engine = build(source, committer)
    engine._background.start()
    engine.assigned([HERE])
    [assignment] = engine._held.all()
    engine._intake.take(1 << 20)
    engine._throttle()
    engine._fence(assignment)
    Event().wait(0.3)
    engine._reclaim()
    assert source.seeks == [0]
    assert source.paused
    engine._intake.give(1 << 20)
    engine._throttle()
    assert not source.paused
    engine._background.stop(5)


def test_a_partition_lost_and_assigned_again_is_stored_once():
    source, committer = Source(values(100)), Committer()

    def lose() -> None:
        source.listener.lost([HERE])
        source.listener.assigned([HERE])

    for number in (2, 3, 7):
        source.script[number] = lose
    build(source, committer).run(until_end=True)
    assert committer.stored == list(range(100))


def test_all_bytes_are_given_back_after_losses():
    source, committer = Source(values(100)), Committer()

    def lose() -> None:
        source.listener.lost([HERE])
        source.listener.assigned([HERE])

    for number in range(1, 9):
        source.script[number] = lose
    engine = build(source, committer)
    engine.run(until_end=True)
    assert engine._intake.held == 0


def test_a_release_that_nobody_answers_does_not_end_the_consumer():
    source, committer = Source(values(10)), Committer()
    engine = build(source, committer, drain_s=0.3)
    committer.silent.clear()
    engine._background.start()
    engine.assigned([HERE])
    engine.revoked([HERE])
    assert engine._held.all() == []
    committer.silent.set()
    engine._background.stop(5)


def test_a_question_that_nobody_answers_is_a_database_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine_module, "_ANSWER_S", 0.2)
    engine = build(Source([]), Committer())
    with pytest.raises(DatabaseError, match="no answer"):
        engine.assigned([HERE])  # the writer was never started


def test_a_late_end_mark_is_no_error():
    source, committer = Source(values(20)), Committer()
    source.script[5] = lambda: source.marks.append(Polled(HERE, 3, is_mark=True))
    source.script[8] = lambda: source.marks.append(Polled(HERE, 20, is_mark=True))
    build(source, committer).run(until_end=True)


def test_a_topic_made_anew_under_the_same_name_is_an_error_not_silence():
    source, committer = Source(values(20)), Committer()
    source.script[5] = lambda: source.marks.append(Polled(HERE, 3, is_mark=True, cause="expired"))
    with pytest.raises(BrokerError, match=r"next offset is 20, but the partition ends or begins at 3"):
        build(source, committer).run()
