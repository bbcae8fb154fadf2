"""librdkafka's messages as the engine wants them, with what a hole before one may be due to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import methodcaller

from confluent_kafka import Message, TopicPartition

from fulgor.consumer.holes import infer_cause
from fulgor.consumer.messages import Partition
from fulgor.consumer.source import Polled

__all__ = ["Reader", "ours", "place", "theirs"]

log = logging.getLogger(__name__)
# Not message.headers(): for a name that is not UTF-8 the client sets an exception and returns a damaged list, which
# the interpreter notices here, but not in a call that it has specialised; there the process dies.
_ask_headers = methodcaller("headers")


class Reader:
    """Turns messages into :class:`Polled`, following each partition's position.

    Parameters
    ----------
    isolation : str
        ``isolation.level`` of the reading.
    policy : callable
        Returns a topic's ``cleanup.policy``; asked once a topic, and only where there is a hole.
    """

    def __init__(self, isolation: str, policy: Callable[[str], str]) -> None:
        self._isolation = isolation
        self._policy = policy
        self._positions: dict[Partition, int] = {}
        self._policies: dict[str, str] = {}

    def begin(self, offsets: Mapping[Partition, int]) -> None:
        """Follow these partitions from these offsets."""
        self._positions.update(offsets)

    def forget(self, partitions: Collection[Partition]) -> None:
        """Follow these no longer."""
        for partition in partitions:
            self._positions.pop(partition, None)

    def message(self, message: Message) -> Polled:
        """Return what a message without an error says."""
        partition, offset = place(message)
        cause = self._cause(partition, offset, offset + 1)
        kind, stamp = message.timestamp()
        return Polled(
            partition, offset, message.value(), message.key(), _headers(message), stamp if kind else None, cause=cause
        )

    def end(self, message: Message) -> Polled:
        """Return the end-of-partition mark that an event of librdkafka stands for."""
        partition, offset = place(message)
        return Polled(partition, offset, is_mark=True, cause=self._cause(partition, offset, offset))

    def _cause(self, partition: Partition, offset: int, after: int) -> str:
        """Return why nothing was delivered before this offset, should there be a hole; `after` is expected next."""
        length = offset - self._positions.get(partition, offset)
        self._positions[partition] = after
        if length <= 0:
            return "unknown"
        if partition.topic not in self._policies:
            self._policies[partition.topic] = self._policy(partition.topic)
        return infer_cause(self._policies[partition.topic], self._isolation, length)


def place(message: Message) -> tuple[Partition, int]:
    """Return a message's partition and offset."""
    return Partition(str(message.topic()), int(message.partition() or 0)), int(message.offset() or 0)


def ours(partitions: Sequence[TopicPartition]) -> list[Partition]:
    """Return librdkafka's partitions as ours."""
    return [Partition(partition.topic, partition.partition) for partition in partitions]


def theirs(partition: Partition, offset: int | None = None) -> TopicPartition:
    """Return a partition, with an offset if one is given, as librdkafka's."""
    if offset is None:
        return TopicPartition(partition.topic, partition.number)
    return TopicPartition(partition.topic, partition.number, offset)


def _bytes(value: object) -> bytes | None:
    return value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else None


def _headers(message: Message) -> list[tuple[str, bytes | None]]:
    """Return a message's headers; none, with a log line, where the client cannot read them."""
    try:
        found = _ask_headers(message)
    except SystemError as error:  # a name that is not UTF-8
        log.warning(
            "%s[%s] offset %s: unreadable headers are left out: %s",
            message.topic(), message.partition(), message.offset(), error.__cause__ or error,
        )  # fmt: skip
        return []
    return [(str(name), _bytes(value)) for name, value in list(found or ())]
