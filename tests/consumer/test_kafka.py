"""The group member against a client that does as it is told."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from fulgor.consumer import kafka
from fulgor.consumer.kafka import KafkaSource
from fulgor.consumer.messages import Partition
from fulgor.consumer.source import Polled

HERE = Partition("t", 0)


class Expired:
    """What the client says of a partition whose offset the broker does not hold."""

    def error(self) -> KafkaError:
        return KafkaError(KafkaError._AUTO_OFFSET_RESET)

    def topic(self) -> str:
        return HERE.topic

    def partition(self) -> int:
        return HERE.number

    def offset(self) -> int:
        return -1001


class Client:
    def __init__(self, _config: dict[str, object]) -> None:
        self.held: dict[Partition, int] = {}
        self.paused: set[Partition] = set()
        self.refusals = 0
        self.said: list[Expired] = []

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.held |= {Partition(each.topic, each.partition): each.offset for each in partitions}

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            del self.held[Partition(each.topic, each.partition)]

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(partition.topic, partition.number) for partition in self.held]

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {Partition(each.topic, each.partition) for each in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {Partition(each.topic, each.partition) for each in partitions}

    def commit(self, **_: object) -> None:
        pass

    def poll(self, _timeout_s: float) -> Expired | None:
        return self.said.pop() if self.said else None

    def consume(self, _count: int, _timeout_s: float) -> list[Expired]:
        return []


class Cluster:
    """The broker; it holds 40 to 90."""

    def __init__(self, *_: object) -> None:
        self.config: dict[str, object] = {}

    def cleanup_policy(self, topic: str) -> str:
        return "delete"

    def held(self, partition: Partition) -> tuple[int, int]:
        return 40, 90


@pytest.mark.parametrize("paused", [False, True])
def test_an_expired_partition_that_cannot_be_assigned_just_now_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, paused: bool
):
    monkeypatch.setattr(kafka, "Consumer", Client)
    monkeypatch.setattr(kafka, "Bounds", Cluster)
    monkeypatch.setattr(kafka, "_RETRY_S", 0.0)
    source = KafkaSource(Cluster(), "t", "g", protocol="consumer", session_timeout_ms=1000)
    client = source._consumer
    source.assign({HERE: 5})
    if paused:
        source.pause([HERE])
    client.said, client.refusals = [Expired()], 1
    assert source.poll(0) == []
    assert source.poll(0) == []  # the group is taking partitions away, or gave up this member
    assert client.held == {}
    assert source.poll(0) == [Polled(HERE, 40, is_mark=True, cause="expired")]
    assert client.held == {HERE: 40}
    assert client.paused == ({HERE} if paused else set())
