"""Stored offsets beside what the broker holds: listed with their lag, moved, and parts passed over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fulgor.consumer.bounds import Broker
from fulgor.consumer.messages import Partition
from fulgor.consumer.settings import Settings
from fulgor.consumer.targets import Target, check_position, chosen
from fulgor.errors import BrokerError, OffsetError, SettingsError
from fulgor.storage.database import Connection
from fulgor.storage.offsets import Change, Operator, StoredOffset, move, skip

__all__ = ["Standing", "set_offsets", "skip_offsets", "standings"]


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
    check_position(to)
    with chosen(connection, settings, target) as (feeds, broker):
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
    with chosen(connection, settings, target) as ([feed], broker):
        if broker is not None:
            _check_held(feed, last + 1, broker)
        return skip(connection, feed.feed_id, first, last + 1, by)


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
