"""What the Kafka source does with its client, without a broker."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from confluent_kafka import TopicPartition

from fulgor.consumer import kafka
from fulgor.consumer.kafka import KafkaSource
from fulgor.consumer.messages import Partition

ONE, TWO = Partition("t", 0), Partition("t", 1)


class Client:
    """Remembers what is assigned and what is paused; as librdkafka, it forgets a pause with the assignment."""

    def __init__(self, _: object) -> None:
        self.assigned: dict[int, int] = {}
        self.paused: set[int] = set()

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        self.assigned |= {one.partition: one.offset for one in partitions}

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        for one in partitions:
            del self.assigned[one.partition]

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition("t", number) for number in self.assigned]

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self.paused |= {one.partition for one in partitions}

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self.paused -= {one.partition for one in partitions}

    def commit(self, **_: object) -> None:
        pass

    def poll(self, _: float) -> None:
        pass


class Cluster:
    def __init__(self) -> None:
        self.config: dict[str, str] = {}

    def cleanup_policy(self, _: str) -> str:
        return "delete"


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> KafkaSource:
    monkeypatch.setattr(kafka, "Consumer", Client)
    made = KafkaSource(Cluster(), "t", "g", protocol="consumer", session_timeout_ms=1000)
    monkeypatch.setattr(made._bounds, "held", lambda _: (70, 90))
    made.assign({ONE: 5, TWO: 6})
    return made


def test_a_paused_partition_that_begins_anew_stays_paused(source: KafkaSource):
    source.pause([ONE])
    source._expired |= {ONE: 0.0, TWO: 0.0}
    marks = source.poll(0)
    assert [(mark.partition, mark.offset, mark.cause) for mark in marks] == [(ONE, 70, "expired"), (TWO, 70, "expired")]
    assert source._consumer.assigned == {0: 70, 1: 70}
    assert source._consumer.paused == {0}
    source.resume([ONE, TWO])
    assert source._consumer.paused == set()


def test_a_partition_that_was_given_back_is_not_paused_when_it_returns(source: KafkaSource):
    source.pause([ONE])
    source.unassign([ONE])
    source.assign({ONE: 8})
    assert source._consumer.paused == set()
