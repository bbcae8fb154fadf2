"""When the demo's consumer is told that the topic has ended."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from fulgor.consumer.kafka import KafkaSource
from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.messages import Partition
from fulgor.consumer.source import Polled
from fulgor.demo.source import NightSource

ONE, OTHER = Partition("night", 0), Partition("night", 1)


@pytest.fixture
def arriving(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Polled]]:
    """What the broker gives, poll by poll."""
    polls: list[Sequence[Polled]] = []
    monkeypatch.setattr(KafkaSource, "__init__", lambda *_, **__: None)
    monkeypatch.setattr(KafkaSource, "poll", lambda *_: polls.pop(0))
    monkeypatch.setattr(KafkaSource, "unassign", lambda *_: None)
    return polls


def source() -> NightSource:
    cluster = cast("Cluster", SimpleNamespace(group_protocol=lambda _: "classic"))
    return NightSource(cluster, "night", "g", backlog=3, live=1, send_live=lambda: None)


def end(partition: Partition) -> Polled:
    return Polled(partition, 2, is_mark=True)


def test_the_ends_come_after_the_last_message(arriving):
    first, second = [Polled(ONE, 0), Polled(ONE, 1), end(ONE)], [Polled(OTHER, 0), Polled(OTHER, 1), end(OTHER)]
    arriving += [first, second]
    night = source()
    assert night.poll(0) == first[:2]
    assert night.poll(0) == [*second[:2], end(ONE), end(OTHER)]


def test_messages_that_come_again_are_not_counted_again(arriving):
    again = [Polled(ONE, 0), Polled(ONE, 1), end(ONE)]
    arriving += [again, again, [Polled(OTHER, 0), Polled(OTHER, 1)]]
    night = source()
    assert [night.poll(0), night.poll(0)] == [again[:2], again[:2]]
    assert night.poll(0)[2:] == [end(ONE)]


def test_an_end_is_forgotten_with_its_partition(arriving):
    """Kept, it would come before messages that are read again, and they would be taken for a hole."""
    arriving += [
        [Polled(ONE, 0), Polled(ONE, 1), end(ONE)],
        [Polled(ONE, 0), Polled(OTHER, 0), Polled(OTHER, 1)],
        [Polled(ONE, 1), end(ONE), end(OTHER)],
    ]
    night = source()
    night.poll(0)
    night.unassign([ONE])
    assert night.poll(0) == [Polled(ONE, 0), Polled(OTHER, 0), Polled(OTHER, 1)]
    assert night.poll(0) == [Polled(ONE, 1), end(ONE), end(OTHER)]
