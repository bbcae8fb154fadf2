"""What a broker holds of a partition: its first offset, its end, and the offset at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.kafkamessages import theirs
from fulgor.consumer.messages import Partition
from fulgor.consumer.settings import Settings
from fulgor.errors import BrokerError, SettingsError

__all__ = ["Bounds", "Broker", "asking", "parse_start"]

_ANSWER_S = 10.0
_READER = {
    "group.id": "fulgor-bounds",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "fetch.wait.max.ms": 10,
    "queued.max.messages.kbytes": 1024,
}


class Bounds:
    """Asks a broker where partitions begin and end, by a handle of its own that joins no group.

    Parameters
    ----------
    config : mapping
        The cluster's settings.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._opened: Consumer | None = None

    def held(self, partition: Partition) -> tuple[int, int]:
        """Return the first offset that the broker holds, and what it says is the end.

        Raises
        ------
        BrokerError
            It does not answer, or has no such partition.
        """
        try:
            found = self._reader.get_watermark_offsets(theirs(partition), timeout=_ANSWER_S)
        except KafkaException as error:
            raise BrokerError(f"{partition}: cannot ask the broker for its offsets: {error.args[0]}") from error
        if found is None:
            raise BrokerError(f"{partition}: the broker did not say within {_ANSWER_S:.0f} s which offsets it holds")
        return int(found[0]), int(found[1])

    def find(self, partition: Partition, start: str) -> int:
        """Return the offset that ``earliest``, ``latest`` or an ISO time stands for.

        Raises
        ------
        SettingsError
            `start` is none of these.
        BrokerError
            The broker does not answer.
        """
        moment = parse_start(start)
        if moment is None:
            return self.held(partition)[0] if start == "earliest" else self.end(partition)
        if moment.timestamp() > time.time():  # brokers disagree on times to come: it means the end
            return self.end(partition)
        asked_ms = max(int(moment.timestamp() * 1000), 0)  # to a broker, negative ones are words: -1 is the end
        asked = TopicPartition(partition.topic, partition.number, asked_ms)
        try:
            found = int(self._reader.offsets_for_times([asked], timeout=_ANSWER_S)[0].offset)
        except KafkaException as error:
            raise BrokerError(f"{partition}: cannot find the offset of {start}: {error.args[0]}") from error
        return self._first_since(partition, found, asked_ms) if found >= 0 else self.end(partition)

    def end(self, partition: Partition) -> int:
        """Return a partition's end as a fetch tells it.

        Raises
        ------
        BrokerError
            The broker does not answer.
        """
        said = self.held(partition)[1]
        with self._reading(partition, said) as next_message:
            next_message()
            found = self._reader.get_watermark_offsets(theirs(partition), cached=True)
        return said if found is None else max(said, int(found[1]))

    def _first_since(self, partition: Partition, offset: int, asked_ms: int) -> int:
        """Return the first offset from `offset` on whose message is not older than a time; the end if there is none."""
        with self._reading(partition, offset) as next_message:
            while True:
                message = next_message()
                if message.error() is not None or message.timestamp()[1] >= asked_ms:
                    return int(message.offset() or 0)

    @contextmanager
    def _reading(self, partition: Partition, offset: int) -> Iterator[Callable[[], Message]]:
        """Read on from where the broker's word leads, which is a beginning only.

        The embedded one answers every time with its first offset, and the end with the beginning of the last batch.
        """

        def next_message() -> Message:
            message = self._reader.poll(_ANSWER_S)
            if message is None:
                raise BrokerError(f"{partition}: the broker did not answer a fetch within {_ANSWER_S:.0f} s")
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise BrokerError(f"{partition}: cannot read from offset {offset}: {error.str()}")
            return message

        self._reader.assign([theirs(partition, offset)])
        try:
            yield next_message
        finally:
            self._reader.unassign()

    def close(self) -> None:
        """Close the handle, if one was needed."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _reader(self) -> Consumer:
        if self._opened is None:
            self._opened = Consumer({**self._config, **_READER})
        return self._opened


class Broker:
    """A broker asked by an operator's command; joins no group."""

    def __init__(self, cluster: Cluster, bounds: Bounds) -> None:
        self._cluster = cluster
        self._bounds = bounds

    @property
    def address(self) -> str:
        """The bootstrap servers."""
        return self._cluster.bootstrap

    @property
    def cluster(self) -> str:
        """Id of the cluster."""
        return self._cluster.id

    def topic_id(self, topic: str) -> str:
        """Return the broker's id of a topic; raises :class:`~fulgor.errors.TopicError` if there is no such topic."""
        self._cluster.require_topic(topic)
        return self._cluster.topic_id(topic)

    def topics(self) -> dict[str, int]:
        """Return all topics with their numbers of partitions."""
        return self._cluster.matching("^")

    def bounds(self, partition: Partition) -> tuple[int, int]:
        """Return the first offset that the broker holds of a partition, and its end."""
        return self._bounds.held(partition)[0], self._bounds.end(partition)

    def find(self, partition: Partition, start: str) -> int:
        """Return the offset that ``earliest``, ``latest`` or an ISO time stands for."""
        return self._bounds.find(partition, start)


@contextmanager
def asking(settings: Settings) -> Iterator[Broker]:
    """Reach the broker of these settings; raises :class:`~fulgor.errors.BrokerError` if it cannot be reached."""
    cluster = Cluster(settings.bootstrap, settings.kafka)
    bounds = Bounds(cluster.config)
    try:
        yield Broker(cluster, bounds)
    finally:
        bounds.close()


def parse_start(start: str) -> datetime | None:
    """Return the time that `start` names, None for ``earliest`` and ``latest``.

    Raises
    ------
    SettingsError
        It is neither.
    """
    if start in {"earliest", "latest"}:
        return None
    try:
        moment = datetime.fromisoformat(start)
    except ValueError:
        raise SettingsError(
            f"--from {start!r}: give earliest, latest or an ISO time such as 2026-03-01T04:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
