"""Single messages read back from a topic by their coordinates, outside any consumer group.

A stamp is not copied into the database for every alert: its row says topic, partition and offset, and
here the message is fetched again for as long as the broker keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.messages import Partition
from fulgor.errors import BrokerError

__all__ = ["Place", "fetch"]

_POLL_S = 0.2
_READER = {
    # Needed by the client, but never joined: partitions are assigned by hand and nothing is committed.
    "group.id": "fulgor-fetch",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    # One message is wanted, not the megabytes that follow it.
    "queued.min.messages": 1,
    "max.partition.fetch.bytes": 131_072,
    "fetch.wait.max.ms": 100,
    # That one message fills the queue, after which the client would rest for a second, also from the next place.
    "fetch.queue.backoff.ms": 1,
}
_GONE = {
    KafkaError._PARTITION_EOF,
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}


class Place(NamedTuple):
    """Where a message lies: a topic's partition and an offset."""

    partition: Partition
    offset: int


def fetch(cluster: Cluster, places: Iterable[Place], *, timeout_s: float = 20.0) -> dict[Place, bytes]:
    """Read messages by their offsets.

    Parameters
    ----------
    cluster : Cluster
        A broker that answers.
    places : iterable of Place
        What to read; a few at a time, since each is asked for on its own.
    timeout_s : float
        Longest time for all of them together.

    Returns
    -------
    dict of Place to bytes
        Values. What the broker does not hold any more (expired, compacted, topic deleted), and what has
        no value, is absent.

    Raises
    ------
    BrokerError
        The broker refuses us, or did not answer in time.
    """
    deadline = monotonic() + timeout_s
    found: dict[Place, bytes] = {}
    reader = Consumer({**cluster.config, **_READER})
    try:
        for place in sorted(set(places)):
            value = _read(reader, place, deadline)
            if value is not None:
                found[place] = value
    except KafkaException as error:
        raise BrokerError(f"broker {cluster.bootstrap}: {cluster.explain(error.args[0])}") from error
    finally:
        reader.close()
    return found


def _read(reader: Consumer, place: Place, deadline: float) -> bytes | None:
    partition, offset = place
    where = TopicPartition(partition.topic, partition.number, offset)
    reader.assign([where])
    while monotonic() < deadline:
        message = reader.poll(_POLL_S)
        if message is not None:
            return _value(message, place)
        # Not every broker says that an offset beyond the end is out of range.
        end = reader.get_watermark_offsets(where, cached=True)
        if end is not None and 0 <= end[1] <= offset:
            return None
    raise BrokerError(f"{partition} offset {offset}: the broker did not answer in time; try again")


def _value(message: Message, place: Place) -> bytes | None:
    error = message.error()
    if error is None:
        return message.value() if message.offset() == place.offset else None
    if error.code() in _GONE:
        return None
    raise BrokerError(f"{place.partition} offset {place.offset} cannot be read: {error.str()}")
