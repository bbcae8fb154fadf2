"""Stored offsets beside what the broker holds: listed with their lag, moved, and parts passed over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from confluent_kafka import Consumer, TopicPartition

from fulgor.consumer.kafka import KafkaSource, parse_start
from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.messages import Partition
from fulgor.consumer.settings import Settings
from fulgor.errors import BrokerError, OffsetError, SettingsError
from fulgor.storage.database import Connection
from fulgor.storage.offsets import Change, Operator, StoredOffset, move, read_offsets, skip

__all__ = ["Broker", "Standing", "Target", "asking", "parse_range", "set_offsets", "skip_offsets", "standings"]

_ANSWER_S = 10.0
_ARCHIVE = "archive"  # the cluster of feeds that are read from files


@dataclass(frozen=True, slots=True)
class Standing:
    """A stored offset and the broker's end of its partition.

    Parameters
    ----------
    group, topic, partition, segment, next_offset, owner, claimed_at, released_at, cluster, topic_id
        As stored: see :class:`fulgor.storage.offsets.StoredOffset`.
    end, lag : int or None
        The partition's end, and what is left to read; None where the broker was not asked or has the topic no more.
    """

    group: str
    topic: str
    partition: int
    segment: int
    next_offset: int | None
    end: int | None
    lag: int | None
    owner: str | None
    claimed_at: datetime | None
    released_at: datetime | None
    cluster: str
    topic_id: str


@dataclass(frozen=True, slots=True)
class Target:
    """Which stored offsets are meant: those of a group and topic, all partitions or one."""

    group: str
    topic: str
    partition: int | None = None


class Broker:
    """Asks a broker what its partitions hold; joins no group."""

    def __init__(self, cluster: Cluster, source: KafkaSource, reader: Consumer) -> None:
        self._cluster = cluster
        self._source = source
        self._reader = reader

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

    def bounds(self, partition: Partition) -> tuple[int, int]:
        """Return the first offset that the broker holds of a partition, and its end."""
        return self._source.start_offset(partition, "earliest"), self.find(partition, "latest")

    def find(self, partition: Partition, start: str) -> int:
        """Return the offset that ``earliest``, ``latest`` or an ISO time stands for."""
        offset = self._source.start_offset(partition, start)
        return self._end(partition, offset) if start == "latest" else offset

    def _end(self, partition: Partition, said: int) -> int:
        """Read from what is said to be the end: some brokers say where the last batch begins."""
        place = TopicPartition(partition.topic, partition.number, said)
        self._reader.assign([place])
        if self._reader.poll(_ANSWER_S) is None:
            raise BrokerError(f"{partition}: the broker did not answer a fetch within {_ANSWER_S:.0f} s")
        found = self._reader.get_watermark_offsets(place, cached=True)
        self._reader.unassign()
        return said if found is None else max(said, int(found[1]))

    def topics(self) -> dict[str, int]:
        """Return all topics with their numbers of partitions."""
        return self._cluster.matching("^")


@contextmanager
def asking(settings: Settings) -> Iterator[Broker]:
    """Reach the broker of these settings; raises :class:`~fulgor.errors.BrokerError` if it cannot be reached."""
    cluster = Cluster(settings.bootstrap, settings.kafka)
    source = KafkaSource(cluster, "", "fulgor-offsets", protocol="classic", session_timeout_ms=10_000)
    reader = Consumer(
        cluster.config | {"group.id": "fulgor-offsets", "enable.auto.commit": False, "enable.partition.eof": True}
    )
    try:
        yield Broker(cluster, source, reader)
    finally:
        reader.close()
        source.close()


def standings(stored: Sequence[StoredOffset], broker: Broker | None) -> list[Standing]:
    """Return stored offsets with their partitions' ends, as far as the broker has them.

    Parameters
    ----------
    stored : sequence of StoredOffset
        As :func:`fulgor.storage.offsets.read_offsets` gives them.
    broker : Broker, optional
        Whom to ask.
    """
    ends = {} if broker is None else _ends(stored, broker)
    return [
        Standing(
            feed.group, feed.topic, feed.partition, feed.segment, feed.next_offset,
            end := ends.get(feed.feed_id),
            None if end is None or feed.next_offset is None else max(end - feed.next_offset, 0),
            feed.owner, feed.claimed_at, feed.released_at, feed.cluster, feed.topic_id,
        )
        for feed in stored
    ]  # fmt: skip


def _ends(stored: Sequence[StoredOffset], broker: Broker) -> dict[int, int]:
    there = broker.topics()
    mine = [feed for feed in stored if feed.cluster == broker.cluster and feed.partition < there.get(feed.topic, 0)]
    ids = {topic: broker.topic_id(topic) for topic in {feed.topic for feed in mine}}
    return {
        feed.feed_id: broker.find(Partition(feed.topic, feed.partition), "latest")
        for feed in mine
        if ids[feed.topic] == feed.topic_id
    }


def set_offsets(connection: Connection, settings: Settings, target: Target, to: str, by: Operator) -> list[Change]:
    """Make a group go on elsewhere: back in a new segment, or ahead over a skipped range.

    Parameters
    ----------
    connection : Connection
        To the database.
    settings : Settings
        Where the broker is.
    target : Target
        Which partitions.
    to : str
        An offset (of one partition), ``earliest``, ``latest`` or an ISO time.
    by : Operator
        For the audit.

    Raises
    ------
    SettingsError
        `to` is none of these, or an offset for several partitions.
    OffsetError
        Nothing is stored for the target, or the broker does not hold the offset.
    TopicError, BrokerError
        The broker does not have the topic, or cannot be reached.
    """
    _check_position(to)
    with _chosen(connection, settings, target) as (feeds, broker):
        if to.isdecimal() and len(feeds) > 1:
            raise SettingsError(
                f"offset {to} for {len(feeds)} partitions: an offset means one of them; name it with --partition"
            )
        return move(connection, [(feed.feed_id, _place(feed, to, broker)) for feed in feeds], by)


def skip_offsets(
    connection: Connection, settings: Settings, target: Target, offsets: tuple[int, int], by: Operator
) -> Change:
    """Pass over offsets of one partition, such as a message that kills the consumer.

    Parameters
    ----------
    connection : Connection
        To the database.
    settings : Settings
        Where the broker is.
    target : Target
        With its partition.
    offsets : (int, int)
        The first and the last offset to pass over.
    by : Operator
        For the audit.

    Raises
    ------
    OffsetError
        Nothing is stored for the target, the offsets were read already, or the broker does not hold them.
    TopicError, BrokerError
        The broker does not have the topic, or cannot be reached.
    """
    first, last = offsets
    with _chosen(connection, settings, target) as ([feed], broker):
        if broker is not None:
            _check_held(feed, last + 1, broker)
        return skip(connection, feed.feed_id, first, last + 1, by)


def parse_range(text: str) -> tuple[int, int]:
    """Return the first and the last offset of ``17`` or ``17-20``.

    Raises
    ------
    SettingsError
        It is neither, or the last comes before the first.
    """
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise SettingsError(f"offsets {text!r}: write one offset, such as 17, or the first and the last, such as 17-20")
    found = int(first), int(last or first)
    if found[1] < found[0] or found[1] >= 2**63 - 1:
        raise SettingsError(f"offsets {text!r}: the last must not come before the first, nor be beyond 2^63 - 2")
    return found


def _check_position(to: str) -> None:
    if to.isdecimal():
        return
    try:
        parse_start(to)
    except SettingsError:
        raise SettingsError(
            f"{to!r}: give an offset, earliest, latest or an ISO time such as 2026-03-01T04:00Z"
        ) from None


@contextmanager
def _chosen(
    connection: Connection, settings: Settings, target: Target
) -> Iterator[tuple[list[StoredOffset], Broker | None]]:
    """Find the stored offsets that are meant, and the broker that holds their topic; None for an archive."""
    feeds = _named(read_offsets(connection), target)
    if all(feed.cluster == _ARCHIVE for feed in feeds):
        yield _one_partition([max(feeds, key=lambda feed: feed.feed_id)], target), None
        return
    with asking(settings) as broker:
        yield _one_partition(_of_broker(feeds, target, broker), target), broker


def _named(stored: Sequence[StoredOffset], target: Target) -> list[StoredOffset]:
    groups = sorted({feed.group for feed in stored})
    if target.group not in groups:
        known = f"there are offsets of: {_listed(groups)}" if groups else "there are no stored offsets at all"
        raise OffsetError(f"no offsets are stored for group {target.group!r}; {known}")
    topics = sorted({feed.topic for feed in stored if feed.group == target.group})
    if target.topic not in topics:
        raise OffsetError(
            f"group {target.group} has stored no offsets of topic {target.topic!r}; it has those of: {_listed(topics)}"
        )
    return [feed for feed in stored if (feed.group, feed.topic) == (target.group, target.topic)]


def _of_broker(feeds: Sequence[StoredOffset], target: Target, broker: Broker) -> list[StoredOffset]:
    topic_id = broker.topic_id(target.topic)
    here = [feed for feed in feeds if feed.cluster == broker.cluster]
    if not here:
        clusters = _listed(sorted({feed.cluster for feed in feeds}))
        raise OffsetError(
            f"group {target.group} has read topic {target.topic} on cluster {clusters}, but {broker.address} is cluster"
            f" {broker.cluster}: check --bootstrap"
        )
    current = [feed for feed in here if feed.topic_id == topic_id]
    if not current:
        raise OffsetError(
            f"topic {target.topic} was made anew since group {target.group} read it: a consumer begins the new one at"
            " its beginning, there is nothing to move"
        )
    return current


def _one_partition(feeds: list[StoredOffset], target: Target) -> list[StoredOffset]:
    if target.partition is None:
        return feeds
    found = [feed for feed in feeds if feed.partition == target.partition]
    if not found:
        known = _listed([str(feed.partition) for feed in feeds])
        raise OffsetError(
            f"group {target.group} has stored no offset of partition {target.partition} of topic {target.topic};"
            f" it has those of: {known}"
        )
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _place(feed: StoredOffset, to: str, broker: Broker | None) -> int:
    if broker is None:
        return _place_in_archive(feed, to)
    if not to.isdecimal():
        return broker.find(Partition(feed.topic, feed.partition), to)
    _check_held(feed, int(to), broker)
    return int(to)


def _place_in_archive(feed: StoredOffset, to: str) -> int:
    if to == "earliest":
        return 0
    if not to.isdecimal() or int(to) > (feed.next_offset or 0):
        raise OffsetError(f"{feed}: an archive can be set to earliest, or back to an offset before {feed.next_offset}")
    return int(to)


def _check_held(feed: StoredOffset, offset: int, broker: Broker) -> None:
    try:
        low, high = broker.bounds(Partition(feed.topic, feed.partition))
    except BrokerError as error:
        raise BrokerError(f"{feed}: {error}") from error
    if not low <= offset <= high:
        raise OffsetError(
            f"{feed}: offset {offset} lies outside of what the broker holds: {low} to {high}, the latter being the end"
        )
