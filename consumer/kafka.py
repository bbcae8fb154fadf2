"""Kafka as a source: one member of a consumer group, under KIP-848 or the classic protocol."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from time import monotonic

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin._group import ConsumerGroupDescription

from fulgor.consumer.bounds import Bounds
from fulgor.consumer.kafkaadmin import Cluster, member_ids
from fulgor.consumer.kafkamessages import Reader, ours, place, theirs
from fulgor.consumer.kafkareport import OffsetReport
from fulgor.consumer.kafkasettings import member_config
from fulgor.consumer.messages import Partition
from fulgor.consumer.source import Listener, Polled
from fulgor.errors import BrokerError

__all__ = ["KafkaSource"]

log = logging.getLogger(__name__)

_CONSUME = 128
_RETRY_S = 1.0
_GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
_REFUSED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)


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
        self._group = group
        config = member_config(cluster.config, group, protocol, session_timeout_ms)
        self._report = OffsetReport()
        self._consumer = Consumer(config | {"error_cb": self._on_error, "on_commit": self._report.answered})
        self._bounds = Bounds(cluster.config)
        self._reader = Reader(str(config.get("isolation.level", "read_committed")), cluster.cleanup_policy)
        self._expired: dict[Partition, float] = {}
        self._paused: set[Partition] = set()
        self._members: Future[ConsumerGroupDescription] | None = None
        self._is_member = False
        self._next_question = 0.0
        self._closing = False

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
        self._consumer.subscribe(
            [self._topic],
            on_assign=lambda _, partitions: self._given(listener, partitions),
            on_revoke=lambda _, partitions: listener.revoked(ours(partitions)),
            on_lost=lambda _, partitions: listener.lost(ours(partitions)),
        )

    def _given(self, listener: Listener, partitions: Sequence[TopicPartition]) -> None:
        # Said to assign nothing yet: else the client would assign all of it, from Kafka's own offsets.
        self._consumer.incremental_assign([])
        listener.assigned(ours(partitions))

    def is_member(self) -> bool:
        """Tell whether the group counts us: asked until it does, for under KIP-848 it tells us only of partitions."""
        if self._is_member:
            return True
        if self._members is None:
            if monotonic() >= self._next_question:
                self._next_question = monotonic() + _RETRY_S
                self._members = self._cluster.members(self._group)
        elif self._members.done():
            members, self._members = self._members, None
            self._is_member = self._consumer.memberid() in member_ids(members)
        return self._is_member

    def poll(self, timeout_s: float) -> Sequence[Polled]:
        """Return what has arrived.

        The first message ends the wait: ``consume(n)`` alone would sit out its whole time-out.
        """
        self._report.send(self._consumer)
        found = self._begun_anew()
        first = self._consumer.poll(timeout_s)
        if first is not None:
            found += map(self._polled, (first, *self._consumer.consume(_CONSUME, 0)))
        return [polled for polled in found if polled is not None]

    def _polled(self, message: Message) -> Polled | None:
        error = message.error()
        if error is None:
            return self._reader.message(message)
        if error.code() == KafkaError._PARTITION_EOF:
            return self._reader.end(message)
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._expired[place(message)[0]] = monotonic()
            return None
        if error.fatal() or error.code() in _REFUSED:
            raise BrokerError(f"the broker refuses us: {error}")
        if error.code() in _GONE:
            log.warning("%s", error)  # a topic of the pattern went away; the group is told next
        else:
            log.warning("kafka: %s", error)
        return None

    def _begun_anew(self) -> list[Polled | None]:
        """Go on at the beginning of partitions whose offset is gone; where the broker is silent, the next time."""
        now = monotonic()
        return [self._begin_anew(partition) for partition, due in list(self._expired.items()) if due <= now]

    def _begin_anew(self, partition: Partition) -> Polled | None:
        """Go on at the partition's beginning, and say so by a mark: the ledger keeps the gap."""
        try:
            low, high = self._bounds.held(partition)
        except BrokerError as error:
            log.warning("%s: the stored offset is gone; the broker does not say what it holds: %s", partition, error)
            self._expired[partition] = monotonic() + _RETRY_S
            return None
        paused = partition in self._paused
        # No seek: librdkafka has given the partition up and would refuse it.
        self.unassign([partition])
        try:
            self.assign({partition: low})
        except BrokerError as error:
            log.warning("trying again: %s", error)  # unless the group takes it back at the next poll
            self._expired[partition] = monotonic() + _RETRY_S
            self._paused.update([partition] if paused else [])
            return None
        log.error(
            "%s: the stored offset is gone from the broker (it holds %d to %d); going on at %d",
            partition,
            low,
            high,
            low,
        )
        if paused:  # who paused it knows nothing of this, and would wait in vain for it to stop
            self.pause([partition])
        return Polled(partition, low, is_mark=True, cause="expired")

    def start_offset(self, partition: Partition, start: str) -> int:
        """Return the offset that ``earliest``, ``latest`` or an ISO time stands for."""
        return self._bounds.find(partition, start)

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """Begin to deliver these partitions from these offsets."""
        self._reader.begin(offsets)
        try:
            self._consumer.incremental_assign([theirs(partition, offset) for partition, offset in offsets.items()])
        except KafkaException as error:
            raise BrokerError(f"{', '.join(map(str, offsets))}: cannot be read: {error.args[0]}") from error
        # What the one before us could not report any more, we do: on a quiet topic nothing else would.
        self._report.note(offsets)
        # librdkafka remembers a pause beyond the assignment that it was made in.
        self.resume(offsets)

    def unassign(self, partitions: Collection[Partition]) -> None:
        """Stop delivering these partitions."""
        if self._closing:
            return  # the closing handle lets them go by itself, and answers no more questions
        self._report.send(self._consumer, at_once=True)
        self._report.forget(partitions)
        self._reader.forget(partitions)
        self._paused.difference_update(partitions)
        for partition in partitions:
            self._expired.pop(partition, None)
        # What a stop has let go already may be revoked or lost once more, by an event that was on its way; librdkafka
        # refuses to unassign anything twice.
        held = set(ours(self._consumer.assignment()))
        self._consumer.incremental_unassign([theirs(partition) for partition in partitions if partition in held])

    def pause(self, partitions: Collection[Partition]) -> None:
        """Deliver nothing of these for now."""
        self._paused.update(partitions)
        self._consumer.pause([theirs(partition) for partition in partitions])

    def resume(self, partitions: Collection[Partition]) -> None:
        """Deliver again."""
        self._paused.difference_update(partitions)
        self._consumer.resume([theirs(partition) for partition in partitions])

    def report(self, offsets: Mapping[Partition, int]) -> None:
        """Commit Kafka's own group offsets, which only lag tools read; now and then."""
        self._report.note(offsets)
        self._report.send(self._consumer)

    def end_offset(self, partition: Partition) -> int | None:
        """Return the high watermark of the last fetch."""
        try:
            found = self._consumer.get_watermark_offsets(theirs(partition), cached=True)
        except KafkaException:
            return None  # not fetched yet
        return int(found[1]) if found and found[1] >= 0 else None

    def close(self) -> None:
        """Leave the group."""
        self._closing = True
        self._consumer.close()
        self._bounds.close()

    def _on_error(self, error: KafkaError) -> None:
        log.warning("kafka: %s", self._cluster.explain(error))
