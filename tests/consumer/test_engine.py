"""The engine's polling thread against a source and a database that do as they are told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from time import monotonic

import pytest
from toy import ToyPredictor, ToyStream, message, record

from fulgor.consumer import membership
from fulgor.consumer.claims import GroupStart
from fulgor.consumer.committer import Committed, Fenced
from fulgor.consumer.engine import Engine, Limits
from fulgor.consumer.lineup import Lineup, Scorer
from fulgor.consumer.messages import Partition
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.pipeline import Pipeline
from fulgor.consumer.source import Listener, Polled
from fulgor.errors import BrokerError
from fulgor.storage.feeds import Claim, FeedKey
from fulgor.storage.rows import Hole

HERE = Partition("t", 0)
_HANG_S = 60.0  # a machine may stand still for seconds; whoever waits for ever still ends a test


class Source:
    """One partition of messages in memory. ``script`` runs once before the poll of its number."""

    cluster = "c"

    def __init__(self, values: Sequence[bytes], at_a_time: int = 10) -> None:
        self.values, self.at_a_time = values, at_a_time
        self.position: int | None = None
        self.counted = False
        self.paused, self.end_told = False, False
        self.script: dict[int, Callable[[], None]] = {}
        self.polls, self.begun = 0, []
        self.marks: list[Polled] = []

    def topic_id(self, topic: str) -> str:
        return ""

    def partitions(self) -> Mapping[str, int]:
        return {"t": 1}

    def subscribe(self, listener: Listener) -> None:
        self.listener = listener
        self.script.setdefault(0, lambda: listener.assigned([HERE]))

    def is_member(self) -> bool:
        return self.counted

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
        assert self.position is None, "librdkafka assigns nothing twice"
        self.begun.append(offsets[HERE])
        self.position, self.paused, self.end_told = offsets[HERE], False, False

    def unassign(self, partitions: Collection[Partition]) -> None:
        self.position = None

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
        self.claimed_at = datetime(2026, 1, 1, tzinfo=UTC)
        self.stored_offsets: list[int] = []
        self.silent = Event()
        self.before_commit: Callable[[], None] = lambda: None

    def claim(self, wanted) -> dict[FeedKey, Claim]:
        self.epoch += 1
        self.claimed_at += timedelta(seconds=1)
        return {key: Claim(1, self.epoch, 0, self.next_offset, 1, claimed_at=self.claimed_at) for key in wanted()}

    def release(self, claims) -> None:
        self.silent.wait(_HANG_S)
        self.released += 1

    def stored(self, keys) -> dict[FeedKey, int]:
        return {}

    def moved(self, assignments) -> list[Fenced]:
        return [Fenced(one, one.claimed_at != self.claimed_at) for one in assignments if one.epoch != self.epoch]

    def commit(self, cut) -> Committed:
        self.before_commit()
        held = sum(pending.delivery.size for pending in cut.messages)
        messages = [pending for pending in cut.messages if not pending.delivery.assignment.lost]
        if not messages:
            return Committed({}, (), held)
        first, last = messages[0].delivery, messages[-1].delivery
        if (first.assignment.epoch, first.previous) != (self.epoch, self.next_offset):
            return Committed({}, self.moved([first.assignment]), held)
        self.stored_offsets += [pending.delivery.offset for pending in messages if not pending.delivery.is_mark]
        self.next_offset = last.next_offset
        return Committed({HERE: last.next_offset}, (), held)

    def close(self) -> None:
        pass


def build(source: Source, committer: Committer, *, inbox_bytes: int = 1 << 20, drain_s: float = _HANG_S) -> Engine:
    committer.silent.set()
    lineup, metrics = Lineup(Scorer(1, ToyPredictor())), Metrics()
    line = Pipeline(ToyStream(), lineup, batch_size=4, deadline_s=0.01, metrics=metrics)
    begin = GroupStart("g", "earliest", {"t": 1})
    limits = Limits(inbox_bytes, drain_s, _HANG_S)
    return Engine(source, line, committer, begin, limits=limits, metrics=metrics, stopping=Event())


def values(count: int) -> list[bytes]:
    return [message(record(index)) for index in range(count)]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nobody."""
    monkeypatch.setattr(membership, "_TAKEN_S", 0.2)
    monkeypatch.setattr(membership, "_LOOK_S", 0.1)


def step(engine: Engine, condition: Callable[[], bool]) -> None:
    """Go on with claims until something has come about."""
    deadline = monotonic() + _HANG_S
    while not condition():
        assert monotonic() < deadline
        engine._follow()
        Event().wait(0.005)


def when_read(source: Source, offset: int, then: Callable[[], None]) -> None:
    """Do something before a poll, once the partition is read up to an offset, however late its claim comes."""

    def look() -> None:
        if source.position == offset:
            then()
        else:
            source.script[source.polls + 1] = look

    source.script[1] = look


def fence_once(committer: Committer) -> None:
    """Let somebody else claim the feed just before a commit."""

    def claimed() -> None:
        committer.claim(list)
        committer.before_commit = lambda: None

    committer.before_commit = claimed


@pytest.mark.usefixtures("soon")
def test_a_fenced_partition_is_read_again_before_the_run_ends():
    source, committer = Source(values(60), at_a_time=100), Committer()
    fence_once(committer)
    assert build(source, committer).run(until_end=True)
    assert source.begun == [0, 0]
    assert committer.stored_offsets == list(range(60))
    assert committer.released == 1


def test_an_operators_move_is_followed_at_once():
    source, committer = Source(values(60), at_a_time=100), Committer()

    def moved() -> None:
        committer.epoch, committer.next_offset = committer.epoch + 1, 30
        committer.before_commit = lambda: None

    committer.before_commit = moved
    build(source, committer).run(until_end=True)  # who was taken for another member would be waited for 10 s
    assert source.begun == [0, 30]
    assert committer.stored_offsets == list(range(30, 60))


def test_a_partition_that_another_member_took_is_left_to_it_for_a_while(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(membership, "_TAKEN_S", 60.0)
    source, committer = Source(values(20), at_a_time=100), Committer()
    engine = build(source, committer)
    fence_once(committer)
    engine._on_tick = lambda: committer.epoch == 2 and engine._stopping.set()
    engine.run()
    assert committer.epoch == 2  # ours and the other's: no third claim
    assert committer.released == 0


def test_a_rewind_is_noticed_by_a_consumer_that_has_nothing_to_do():
    source, committer = Source(values(20)), Committer()
    engine = build(source, committer)

    def rewind() -> None:
        if len(committer.stored_offsets) == 20 and committer.epoch == 1:
            committer.epoch, committer.next_offset = 2, 15
        if len(committer.stored_offsets) == 25:
            engine._stopping.set()

    engine._on_tick = rewind
    assert not engine.run()  # it was told to stop
    assert committer.stored_offsets == [*range(20), *range(15, 20)]


def test_offsets_that_an_operator_wants_passed_over_are_not_decoded():
    source, committer = Source(values(20)), Committer()
    claim = committer.claim
    orders = (Hole(3, 5, "operator"), Hole(19, 20, "operator"))
    committer.claim = lambda wanted: {key: replace(one, skips=orders) for key, one in claim(wanted).items()}
    build(source, committer).run(until_end=True)
    assert committer.stored_offsets == [0, 1, 2, *range(5, 19)]
    assert committer.next_offset == 20


def test_the_run_does_not_end_before_a_slow_database_has_everything():
    source, committer = Source(values(20), at_a_time=100), Committer()
    slow = Event()
    committer.before_commit = lambda: slow.wait(0.5) and None
    engine = build(source, committer, drain_s=0.1)
    engine._membership._drain_s = _HANG_S  # what is let go at the end has the time that it needs
    engine.run(until_end=True)
    assert committer.stored_offsets == list(range(20))
    assert committer.released == 1


@pytest.mark.usefixtures("soon")
def test_a_fenced_partition_claimed_again_stays_paused_under_back_pressure():
    source, committer = Source(values(60)), Committer()
    engine = build(source, committer)
    engine._background.start()
    engine._membership.assigned([HERE])
    step(engine, lambda: source.begun == [0])
    engine._intake.take(1 << 20)
    engine._throttle()
    engine._membership.fenced([Fenced(*engine._held.all(), taken=True)])
    step(engine, lambda: source.begun == [0, 0])
    assert source.paused
    engine._intake.give(1 << 20)
    engine._throttle()
    assert not source.paused
    engine._background.stop(_HANG_S)


def test_a_partition_lost_and_assigned_again_is_stored_once():
    source, committer = Source(values(100)), Committer()

    def lose() -> None:
        source.listener.lost([HERE])
        source.listener.assigned([HERE])

    for number in (2, 3, 7):
        source.script[number] = lose
    build(source, committer).run(until_end=True)
    assert committer.stored_offsets == list(range(100))


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


def test_the_lag_of_a_partition_is_shown_by_who_has_it():
    source = Source(values(10))
    engine = build(source, Committer())
    engine._background.start()
    engine._membership.assigned([HERE])
    step(engine, lambda: source.begun == [0])
    engine._tick()
    assert engine._metrics.value("fulgor_consumer_lag", topic="t", partition="0") == 10
    engine._membership.lost([HERE])
    engine._tick()
    shown = {sample.name for family in engine._metrics.lag.collect() for sample in family.samples}
    assert shown == set()
    engine._background.stop(_HANG_S)


def test_a_release_that_nobody_answers_does_not_end_the_consumer():
    source, committer = Source(values(10)), Committer()
    engine = build(source, committer, drain_s=0.3)
    committer.silent.clear()
    engine._background.start()
    engine._membership.assigned([HERE])
    step(engine, lambda: source.begun == [0])
    engine._membership.revoked([HERE])
    assert engine._held.all() == []
    committer.silent.set()
    engine._background.stop(_HANG_S)


def test_a_partition_fenced_while_it_is_revoked_is_let_go_and_not_claimed_again():
    source, committer = Source(values(10)), Committer()
    fence_once(committer)
    engine = build(source, committer)
    engine._background.start()
    engine._membership.assigned([HERE])
    step(engine, lambda: source.begun == [0])
    for polled in source.poll(0):
        engine._receive(polled)
    engine._membership.revoked([HERE])  # drains, and learns only then that another member has the feed
    assert engine._claims.idle
    assert (engine._held.all(), source.position) == ([], None)
    assert (committer.epoch, committer.released) == (2, 0)
    engine._background.stop(_HANG_S)


def test_the_polling_goes_on_while_a_claim_waits_for_the_database():
    source, committer = Source(values(10)), Committer()
    claim, away = committer.claim, Event()
    committer.claim = lambda wanted: away.wait(_HANG_S) and claim(wanted)
    source.script[10] = away.set  # the tenth poll, which a claim within the group's callback would never come to
    build(source, committer).run(until_end=True)
    assert committer.stored_offsets == list(range(10))


def test_a_partition_that_cannot_be_read_just_now_is_tried_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(membership, "_RETRY_S", 0.0)
    source, committer = Source(values(10)), Committer()
    assign, refusals = source.assign, [BrokerError("erroneous state")] * 2

    def refusing(offsets: Mapping[Partition, int]) -> None:
        if refusals:
            raise refusals.pop()
        assign(offsets)

    source.assign = refusing
    build(source, committer).run(until_end=True)
    assert committer.stored_offsets == list(range(10))
    assert committer.epoch == 3


def test_a_partition_taken_back_while_it_is_claimed_is_released():
    source, committer = Source(values(10)), Committer()
    claim, away = committer.claim, Event()
    committer.claim = lambda wanted: away.wait(_HANG_S) and claim(wanted)
    engine = build(source, committer)
    engine._background.start()
    engine._membership.assigned([HERE])
    engine._follow()
    engine._membership.lost([HERE])
    away.set()
    step(engine, lambda: engine._claims.idle)
    engine._background.stop(_HANG_S)
    assert (source.begun, committer.epoch) == ([], 1)
    assert engine._held.all() == []


def test_a_member_that_is_given_nothing_is_ready_once_the_group_counts_it():
    source = Source([])
    engine = build(source, Committer())
    assert not engine.state().joined
    source.counted = True
    assert engine.state().joined
    engine._membership.assigned([HERE])  # given now, and not read yet
    assert not engine.state().joined


def test_a_late_end_mark_is_no_error():
    source, committer = Source(values(20)), Committer()
    late = [Polled(HERE, 20, is_mark=True), Polled(HERE, 3, is_mark=True)]
    when_read(source, 20, lambda: source.marks.extend(late))
    build(source, committer).run(until_end=True)


def test_a_topic_made_anew_under_the_same_name_is_an_error_not_silence():
    source, committer = Source(values(20)), Committer()
    anew = Polled(HERE, 3, is_mark=True, cause="expired")
    when_read(source, 20, lambda: source.marks.append(anew))
    with pytest.raises(BrokerError, match=r"next offset is 20, but the partition ends or begins at 3"):
        build(source, committer).run()
