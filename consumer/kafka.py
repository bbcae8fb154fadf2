"""Kafka as a source: one member of a consumer group, under KIP-848 or the classic protocol."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from operator import methodcaller
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from fulgor.consumer.holes import infer_cause
from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.messages import Partition
from fulgor.consumer.source import Listener, Polled
from fulgor.errors import BrokerError, SettingsError

__all__ = ["KafkaSource", "parse_start"]

log = logging.getLogger(__name__)

_CONSUME = 128
_ASK_TIMEOUT_S = 10.0
# Measured: the default of 1,000 ms halves the throughput whenever the local queue fills up.
_CLIENT = {
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "fetch.queue.backoff.ms": 10,
    "queued.max.messages.kbytes": 65536,
    "fetch.wait.max.ms": 100,
    "check.crcs": True,
    "topic.metadata.refresh.interval.ms": 5000,
}
_CLASSIC = {"partition.assignment.strategy": "cooperative-sticky"}
# Not message.headers(): for a name that is not UTF-8 the client sets an exception and returns a damaged list, which
# the interpreter notices here, but not in a call that it has specialised; there the process dies.
_ask_headers = methodcaller("headers")
# librdkafka refuses these under KIP-848: the broker decides.
_CLASSIC_ONLY = ("partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms", "group.protocol.type")


class KafkaSource:
    """One member of a consumer group.

    Parameters
    ----------
    cluster : Cluster
        Where the broker is, checked.
    topic : str
        Topic, or a pattern that begins with ``^``.
    group : str
        Consumer group.
    protocol : {'consumer', 'classic'}
        Group protocol.
    session_timeout_ms : int
        Silence after which the partitions are given away; under KIP-848 the broker decides it.

    Raises
    ------
    SettingsError
        A librdkafka setting is unknown, or not allowed under the protocol.
    """

    def __init__(self, cluster: Cluster, topic: str, group: str, *, protocol: str, session_timeout_ms: int) -> None:
        self._cluster = cluster
        self._topic = topic
        own = {**_CLASSIC, "session.timeout.ms": session_timeout_ms} if protocol == "classic" else {}
        self._consumer = Consumer(self._config(own, cluster.config, group, protocol))
        self._listener: Listener | None = None
        self._closing = False
        self._positions: dict[Partition, int] = {}
        self._policies: dict[str, str] = {}

    def _config(self, own: Mapping[str, Any], passed: Mapping[str, Any], group: str, protocol: str) -> dict[str, Any]:
        config: dict[str, Any] = {**_CLIENT, **own, **passed}
        if protocol == "consumer":
            for name in _CLASSIC_ONLY:
                if name in passed:
                    raise SettingsError(
                        f"kafka setting {name} is not allowed under group.protocol=consumer: the broker decides it;"
                        " remove it or set group_protocol = classic"
                    )
        fixed = {"group.id": group, "group.protocol": protocol, "error_cb": self._on_error}
        for name in ("enable.auto.commit", "auto.offset.reset", "enable.partition.eof", "group.id", "group.protocol"):
            if name in passed:
                raise SettingsError(f"kafka setting {name} is fulgor's own: the exactly-once transaction rests on it")
        return config | fixed

    @property
    def cluster(self) -> str:
        """Id of the broker's cluster."""
        return self._cluster.id

    def topic_id(self, topic: str) -> str:
        """Return the broker's id of a topic."""
        return self._cluster.topic_id(topic)

    def partitions(self) -> Mapping[str, int]:
        """Return the topics asked for that exist now, with their numbers of partitions."""
        return self._cluster.matching(self._topic)

    def subscribe(self, listener: Listener) -> None:
        """Join the group."""
        self._listener = listener
        self._consumer.subscribe(
            [self._topic],
            on_assign=lambda _, partitions: listener.assigned(_ours(partitions)),
            on_revoke=lambda _, partitions: listener.revoked(_ours(partitions)),
            on_lost=lambda _, partitions: listener.lost(_ours(partitions)),
        )

    def poll(self, timeout_s: float) -> Sequence[Polled]:
        """Return what has arrived.

        The first message ends the wait: ``consume(n)`` alone would sit out its whole time-out.
        """
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        rest = self._consumer.consume(_CONSUME, 0)
        return [polled for message in (first, *rest) if (polled := self._polled(message)) is not None]

    def _polled(self, message: Message) -> Polled | None:
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            return self._failed(message, error)
        partition = Partition(str(message.topic()), int(message.partition() or 0))
        offset = int(message.offset() or 0)
        if error is not None:
            return Polled(partition, offset, is_mark=True, cause=self._cause(partition, offset, offset))
        cause = self._cause(partition, offset, offset + 1)
        kind, stamp = message.timestamp()
        return Polled(
            partition, offset, message.value(), message.key(), _headers(message), stamp if kind else None, cause=cause
        )

    def _cause(self, partition: Partition, offset: int, after: int) -> str:
        """Return why nothing was delivered before this offset, should there be a hole; `after` is expected next."""
        length = offset - self._positions.get(partition, offset)
        self._positions[partition] = after
        if length <= 0:
            return "unknown"
        if partition.topic not in self._policies:
            self._policies[partition.topic] = self._cluster.cleanup_policy(partition.topic)
        isolation = str(self._cluster.config.get("isolation.level", "read_committed"))
        return infer_cause(self._policies[partition.topic], isolation, length)

    def _failed(self, message: Message, error: KafkaError) -> Polled | None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            return self._expired(Partition(str(message.topic()), int(message.partition() or 0)))
        if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION):
            log.warning("%s", error)  # a topic of the pattern went away; the group is told next
            return None
        if error.fatal() or error.code() in (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
        ):
            raise BrokerError(f"the broker refuses us: {error}")
        log.warning("kafka: %s", error)
        return None

    def _expired(self, partition: Partition) -> Polled:
        """Go on at the partition's beginning, and say so by a mark: the ledger keeps the gap."""
        low, high = self._watermarks(partition)
        log.error(
            "%s: the stored offset is gone from the broker (it holds %d to %d); going on at %d",
            partition,
            low,
            high,
            low,
        )
        # No seek: librdkafka has given the partition up and would refuse it.
        self.unassign([partition])
        self.assign({partition: low})
        return Polled(partition, low, is_mark=True, cause="expired")

    def _watermarks(self, partition: Partition) -> tuple[int, int]:
        try:
            found = self._consumer.get_watermark_offsets(_theirs(partition), timeout=_ASK_TIMEOUT_S)
        except KafkaException as error:
            raise BrokerError(f"{partition}: cannot ask the broker for its offsets: {error.args[0]}") from error
        if found is None:
            raise BrokerError(
                f"{partition}: the broker did not say within {_ASK_TIMEOUT_S:.0f} s which offsets it holds"
            )
        return int(found[0]), int(found[1])

    def start_offset(self, partition: Partition, start: str) -> int:
        """Return the offset that ``earliest``, ``latest`` or an ISO time stands for."""
        moment = parse_start(start)
        if moment is None:
            low, high = self._watermarks(partition)
            return low if start == "earliest" else high
        if moment.timestamp() > time.time():  # brokers disagree on times to come: it means the end
            return self._watermarks(partition)[1]
        asked = TopicPartition(partition.topic, partition.number, int(moment.timestamp() * 1000))
        try:
            found = self._consumer.offsets_for_times([asked], timeout=_ASK_TIMEOUT_S)[0]
        except KafkaException as error:
            raise BrokerError(f"{partition}: cannot find the offset of {start}: {error.args[0]}") from error
        return int(found.offset) if found.offset >= 0 else self._watermarks(partition)[1]

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """Begin to deliver these partitions from these offsets."""
        self._positions.update(offsets)
        self._consumer.incremental_assign([_theirs(partition, offset) for partition, offset in offsets.items()])
        # librdkafka remembers a pause beyond the assignment that it was made in.
        self.resume(offsets)

    def unassign(self, partitions: Collection[Partition]) -> None:
        """Stop delivering these partitions."""
        if self._closing:
            return  # the closing handle lets them go by itself, and answers no more questions
        # What a stop has let go already may be revoked or lost once more, by an event that was on its way; librdkafka
        # refuses to unassign anything twice.
        held = set(_ours(self._consumer.assignment()))
        self._consumer.incremental_unassign([_theirs(partition) for partition in partitions if partition in held])

    def seek(self, partition: Partition, offset: int) -> None:
        """Go on from another offset."""
        self._positions[partition] = offset
        self._consumer.seek(_theirs(partition, offset))

    def pause(self, partitions: Collection[Partition]) -> None:
        """Deliver nothing of these for now."""
        self._consumer.pause([_theirs(partition) for partition in partitions])

    def resume(self, partitions: Collection[Partition]) -> None:
        """Deliver again."""
        self._consumer.resume([_theirs(partition) for partition in partitions])

    def report(self, offsets: Mapping[Partition, int]) -> None:
        """Commit Kafka's own group offsets, which only lag tools read."""
        if offsets:
            self._consumer.commit(
                offsets=[_theirs(partition, offset) for partition, offset in offsets.items()], asynchronous=True
            )

    def end_offset(self, partition: Partition) -> int | None:
        """Return the high watermark of the last fetch."""
        try:
            found = self._consumer.get_watermark_offsets(_theirs(partition), cached=True)
        except KafkaException:
            return None  # not fetched yet
        return int(found[1]) if found and found[1] >= 0 else None

    def close(self) -> None:
        """Leave the group."""
        self._closing = True
        self._consumer.close()

    def _on_error(self, error: KafkaError) -> None:
        log.warning("kafka: %s", self._cluster.explain(error))


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


def _ours(partitions: Sequence[TopicPartition]) -> list[Partition]:
    return [Partition(partition.topic, partition.partition) for partition in partitions]


def _theirs(partition: Partition, offset: int | None = None) -> TopicPartition:
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
