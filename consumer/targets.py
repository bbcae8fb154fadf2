"""Which stored offsets an operator means, found in the database and on the broker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fulgor.consumer.bounds import Broker, asking, parse_start
from fulgor.consumer.settings import Settings
from fulgor.errors import OffsetError, SettingsError
from fulgor.storage.database import Connection
from fulgor.storage.offsets import StoredOffset, read_offsets

__all__ = ["Target", "check_position", "chosen", "parse_range"]

_ARCHIVE = "archive"  # the cluster of feeds that are read from files


@dataclass(frozen=True, slots=True)
class Target:
    """Which stored offsets are meant: those of a group and topic, all partitions or one."""

    group: str
    topic: str
    partition: int | None = None


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


def check_position(to: str) -> None:
    """Refuse what is neither an offset, nor ``earliest``, ``latest`` or an ISO time.

    Raises
    ------
    SettingsError
        It is none of these.
    """
    if to.isdecimal():
        return
    try:
        parse_start(to)
    except SettingsError:
        raise SettingsError(
            f"{to!r}: give an offset, earliest, latest or an ISO time such as 2026-03-01T04:00Z"
        ) from None


@contextmanager
def chosen(
    connection: Connection, settings: Settings, target: Target
) -> Iterator[tuple[list[StoredOffset], Broker | None]]:
    """Find the stored offsets that are meant, and the broker that holds their topic; None for an archive.

    Raises
    ------
    OffsetError
        Nothing is stored for the target.
    TopicError, BrokerError
        The broker does not have the topic, or cannot be reached.
    """
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
