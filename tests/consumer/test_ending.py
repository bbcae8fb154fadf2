"""When a run that shall stop at the end may stop: what is ours, and what is in other hands."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from fulgor.consumer import ending
from fulgor.consumer.assignments import Assignments
from fulgor.consumer.claims import GroupStart
from fulgor.consumer.ending import Ending
from fulgor.consumer.messages import Assignment, Partition
from fulgor.errors import BrokerError
from fulgor.storage.feeds import FeedKey

MINE, OTHERS = Partition("t", 0), Partition("t", 1)
KEY = FeedKey("g", "c", "t", "id", 1)


class World:
    """Source, claims, committer and writer thread in one."""

    cluster, idle, end, silent = "c", True, 10, False

    def __init__(self, count: int = 2) -> None:
        self.count = count
        self.known: dict[FeedKey, int] = {}

    def partitions(self) -> dict[str, int]:
        if self.silent:
            raise BrokerError("no answer")
        return {"t": self.count}

    def topic_id(self, topic: str) -> str:
        return "id"

    def start_offset(self, partition: Partition, start: str) -> int:
        assert (partition, start) == (OTHERS, "latest")
        return self.end

    def offer(self, command) -> Future:
        future: Future = Future()
        future.set_result(command())
        return future

    def stored(self, keys) -> dict[FeedKey, int]:
        return {key: self.known[key] for key in keys if key in self.known}


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Assignments:
    monkeypatch.setattr(ending, "_ASK_S", 0.0)
    held = Assignments()
    held.add([Assignment(MINE, feed_id=1, epoch=1, segment=0, expected=3)])
    return held


def build(world: World, held: Assignments) -> Ending:
    return Ending(world, held, world, world, world, GroupStart("g", "earliest", {}))


def test_ours_is_read_when_every_partition_is_at_its_end_and_nothing_waits(held: Assignments):
    world = World()
    end = build(world, held)
    assert not end.own_read()
    held.all()[0].at_end = True
    assert end.own_read()
    world.idle = False
    assert not end.own_read()


def test_who_has_everything_asks_nobody(held: Assignments):
    assert build(World(count=1), held).others_stored()


def test_the_others_are_waited_for_up_to_where_they_ended_then(held: Assignments):
    world = World()
    end = build(world, held)
    assert [end.others_stored() for _ in range(3)] == [False] * 3  # never claimed by anybody
    world.known[KEY] = 9
    assert [end.others_stored() for _ in range(3)] == [False] * 3
    world.known[KEY], world.end = 10, 1000  # what came later is not waited for
    assert any(end.others_stored() for _ in range(3))


def test_an_empty_partition_that_nobody_has_claimed_is_not_waited_for(held: Assignments):
    world = World()
    world.end = 0
    end = build(world, held)
    assert any(end.others_stored() for _ in range(3))


def test_a_broker_that_does_not_answer_is_asked_again(held: Assignments):
    world = World()
    world.silent = True
    end = build(world, held)
    assert not end.others_stored()
    world.silent, world.known[KEY] = False, 10
    assert any(end.others_stored() for _ in range(3))
