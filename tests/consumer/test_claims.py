"""Claims against a broker and a database that are away for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from fulgor.consumer import claims as claims_module
from fulgor.consumer.claims import Claims, GroupStart
from fulgor.consumer.messages import Partition
from fulgor.errors import BrokerError, DatabaseError, TopicError
from fulgor.storage.feeds import Claim, FeedKey

ONE, TWO = Partition("t", 0), Partition("u", 0)


class Source:
    cluster = "c"

    def __init__(self) -> None:
        self.there = {"t", "u"}
        self.silent = 0

    def topic_id(self, topic: str) -> str:
        self._answer()
        if topic not in self.there:
            raise TopicError("there is no such topic")
        return "id"

    def start_offset(self, partition: Partition, start: str) -> int:
        self._answer()
        return 7

    def _answer(self) -> None:
        self.silent -= 1
        if self.silent >= 0:
            raise BrokerError("no answer")


class Database:
    """Committer and writer thread in one; works when it is told to."""

    def __init__(self, stored: int | None = 5) -> None:
        self.failure = None
        self.stored = stored
        self.claimed: list[str] = []
        self.opened: list[tuple[str, int, str]] = []
        self.released: list[int] = []
        self.waiting: list[tuple[Callable[[], Any], Future[Any]]] = []

    def offer(self, command: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((command, future))
        return future

    def order(self, command: Callable[[], None]) -> None:
        command()

    def work(self) -> None:
        while self.waiting:
            command, future = self.waiting.pop(0)
            try:
                future.set_result(command())
            except DatabaseError as error:
                future.set_exception(error)

    def claim(self, wanted: Callable[[], list[FeedKey]]) -> dict[FeedKey, Claim]:
        self.claimed += [key.topic for key in wanted()]
        return {key: Claim(ord(key.topic), 1, 0, self.stored, 1) for key in wanted()}

    def open_segments(self, starts: list[tuple[Claim, int, str]]) -> None:
        self.opened += [(chr(claimed.feed_id), offset, why) for claimed, offset, why in starts]

    def release(self, claims: list[Claim]) -> None:
        self.released += [one.feed_id for one in claims]


class Rig:
    def __init__(self, stored: int | None = 5, patience_s: float = 60) -> None:
        self.source, self.database = Source(), Database(stored)
        begin = GroupStart("g", "latest", {"t": 1})
        self.claims = Claims(self.source, self.database, self.database, begin, patience_s=patience_s)
        self.claims.want([ONE, TWO])

    def rounds(self, count: int) -> list[tuple[Partition, int]]:
        started = []
        for _ in range(count):
            started += [(one.partition, one.expected) for one in self.claims.step()]
            self.database.work()
        return started


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_module, "_RETRY_S", 0.0)


def test_what_is_wanted_is_claimed_and_begins_where_it_was_left():
    rig = Rig()
    assert not rig.claims.idle
    assert sorted(rig.rounds(2)) == [(ONE, 5), (TWO, 5)]
    assert rig.claims.idle
    assert rig.database.opened == []


def test_without_an_offset_only_partitions_of_the_first_start_begin_as_the_group_did():
    rig = Rig(stored=None)
    assert sorted(rig.rounds(2)) == [(ONE, 7), (TWO, 7)]
    assert sorted(rig.database.opened) == [("t", 7, "latest"), ("u", 7, "earliest")]


def test_a_broker_that_does_not_answer_is_asked_again():
    rig = Rig()
    rig.source.silent = 3
    assert rig.rounds(3) == []
    assert sorted(rig.rounds(2)) == [(ONE, 5), (TWO, 5)]


def test_a_broker_that_does_not_say_where_to_begin_is_asked_again():
    rig = Rig(stored=None)
    rig.rounds(1)
    rig.source.silent = 1
    assert rig.rounds(1) == []
    assert sorted(rig.rounds(2)) == [(ONE, 7), (TWO, 7)]
    assert len(rig.database.opened) == 2


def test_patience_with_a_broker_ends():
    rig = Rig(patience_s=0)
    rig.source.silent = 3
    with pytest.raises(BrokerError, match="no answer"):
        rig.rounds(1)


def test_a_silence_counts_no_more_once_nothing_is_asked():
    rig = Rig(patience_s=0.05)
    rig.source.silent = 1
    rig.rounds(1)
    rig.claims.forget([ONE, TWO])
    time.sleep(0.06)
    rig.claims.want([ONE])
    rig.source.silent = 1
    assert rig.rounds(1) == []
    assert rig.rounds(2) == [(ONE, 5)]


def test_a_topic_that_is_being_deleted_waits_and_holds_nobody_up():
    rig = Rig()
    rig.source.there = {"u"}
    assert rig.rounds(4) == [(TWO, 5)]
    assert not rig.claims.idle
    rig.claims.forget([ONE])
    assert rig.claims.idle


def test_what_is_taken_back_before_the_database_answers_is_not_claimed():
    rig = Rig()
    rig.claims.step()
    rig.claims.forget([ONE])
    rig.database.work()
    assert rig.rounds(1) == [(TWO, 5)]
    assert rig.database.claimed == ["u"]


def test_what_is_taken_back_after_it_was_claimed_is_released():
    rig = Rig()
    rig.claims.step()
    rig.database.work()
    rig.claims.forget([ONE])
    assert rig.rounds(1) == [(TWO, 5)]
    assert rig.database.released == [ord("t")]


def test_nothing_is_left_when_all_is_taken_back():
    rig = Rig()
    rig.claims.step()
    rig.database.work()
    rig.claims.forget(rig.claims.partitions(), wait_s=1)
    assert rig.claims.idle
    assert sorted(rig.database.released) == [ord("t"), ord("u")]


def test_a_partition_given_again_while_its_old_claim_is_on_its_way_is_claimed_anew():
    rig = Rig()
    rig.claims.step()
    rig.claims.forget([ONE])
    rig.claims.want([ONE])
    rig.database.work()
    assert sorted(rig.rounds(3)) == [(ONE, 5), (TWO, 5)]


def test_a_database_that_did_not_come_back_ends_the_run():
    rig = Rig()

    def fail(wanted: Callable[[], list[FeedKey]]) -> dict[FeedKey, Claim]:
        raise DatabaseError("did not come back")

    rig.database.claim = fail
    with pytest.raises(DatabaseError):
        rig.rounds(2)
