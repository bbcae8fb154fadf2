"""Kafka's own group offsets, which only lag tools read: one commit on its way at a time, and at most one a second.

A commit for each transaction would queue dozens of them before the group's heartbeats, on the same connection: on a
broker that is slow for a moment the heartbeats time out behind them, and the member is put out of its group.
A report that fails is sent again until the coordinator has it, or the partition is somebody else's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from time import monotonic

from confluent_kafka import Consumer, KafkaError, TopicPartition

from fulgor.consumer.kafkamessages import theirs
from fulgor.consumer.messages import Partition

__all__ = ["OffsetReport"]

_INTERVAL_S = 1.0


class OffsetReport:
    """What the group coordinator is still to be told."""

    def __init__(self) -> None:
        self._untold: dict[Partition, int] = {}
        self._sent: dict[Partition, int] = {}
        self._on_its_way = False
        self._next = 0.0

    def note(self, offsets: Mapping[Partition, int]) -> None:
        """Remember how far these partitions are stored."""
        self._untold |= offsets

    def forget(self, partitions: Collection[Partition]) -> None:
        """Leave it to whoever is next to report these."""
        for partition in partitions:
            self._untold.pop(partition, None)
            self._sent.pop(partition, None)

    def send(self, consumer: Consumer, *, at_once: bool = False) -> None:
        """Tell it, if it is time and nothing is on its way; `at_once` before partitions are let go."""
        due = monotonic() >= self._next and not self._on_its_way
        if not self._untold or not (due or at_once):
            return
        self._next = monotonic() + _INTERVAL_S
        self._on_its_way = True
        offsets, self._untold = self._untold, {}
        self._sent |= offsets
        consumer.commit(offsets=[theirs(partition, offset) for partition, offset in offsets.items()], asynchronous=True)

    def answered(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Take note of the coordinator's answer; what it refused is told again: a quiet topic has no next one."""
        self._on_its_way = False
        for partition in partitions:
            where = Partition(partition.topic, partition.partition)
            # Not if a later one of this partition is on its way, nor where it was let go meanwhile.
            if self._sent.get(where) != partition.offset:
                continue
            del self._sent[where]
            if error is not None or partition.error is not None:
                self._untold.setdefault(where, partition.offset)
