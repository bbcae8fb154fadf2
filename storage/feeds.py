"""Feeds: one row per group and partition that says where consumption goes on, and who may write.

A claim raises the row's epoch; every write compares epoch and offset under the row's lock, so a
consumer that lost the partition without knowing it cannot write.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import cast

from psycopg.types.json import Jsonb

from fulgor.storage.database import Connection
from fulgor.storage.rows import Hole

__all__ = ["Claim", "FeedKey", "claim", "first_start", "note_trial", "open_segment", "release", "stored", "unreleased"]


@dataclass(frozen=True, slots=True, order=True)
class FeedKey:
    """What a stored offset belongs to.

    Parameters
    ----------
    group : str
        Consumer group.
    cluster : str
        The broker's cluster id; ``archive`` for files.
    topic : str
        Topic, or the archive's path.
    topic_id : str
        The broker's topic id, the archive's content id, or '' where there is none.
    partition : int
        Partition number.
    """

    group: str
    cluster: str
    topic: str
    topic_id: str
    partition: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write a feed, until somebody claims it again.

    Parameters
    ----------
    feed_id, epoch, segment : int
        Keys of the row.
    next_offset : int or None
        Where to go on; None if nothing was ever stored.
    attempts : int
        Claims in a row, this one included, that began at the same offset without a clean release.
    skips : tuple of Hole
        Offsets ahead that an operator wants passed over, in order.
    """

    feed_id: int
    epoch: int
    segment: int
    next_offset: int | None
    attempts: int
    trial_offset: int | None = None
    skips: tuple[Hole, ...] = ()


_CLAIM = """
INSERT INTO fulgor.feed (group_name, cluster, topic, topic_id, partition, stream, epoch, owner, claimed_at, attempts)
VALUES (%(group)s, %(cluster)s, %(topic)s, %(topic_id)s, %(partition)s, %(stream)s, 1, %(owner)s, now(), 1)
ON CONFLICT (group_name, cluster, topic, topic_id, partition) DO UPDATE SET
    epoch = feed.epoch + 1,
    owner = excluded.owner,
    claimed_at = now(),
    released_at = NULL,
    attempts = CASE WHEN feed.released_at IS NULL AND feed.attempt_offset = feed.next_offset
                    THEN feed.attempts + 1 ELSE 1 END,
    attempt_offset = feed.next_offset
RETURNING feed_id, epoch, segment, next_offset, attempts, trial_offset
"""
_STORED = """
SELECT group_name, cluster, topic, topic_id, partition, next_offset FROM fulgor.feed
JOIN unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::int[])
  AS wanted (group_name, cluster, topic, topic_id, partition) USING (group_name, cluster, topic, topic_id, partition)
WHERE next_offset IS NOT NULL
"""
_SKIPS = """
SELECT o.first_offset, o.next_offset, o.note FROM fulgor.skip_order o JOIN fulgor.feed f USING (feed_id, segment)
WHERE feed_id = %s AND o.next_offset > f.next_offset ORDER BY o.first_offset
"""


def claim(connection: Connection, key: FeedKey, *, stream: str, owner: str) -> Claim:
    """Raise the feed's epoch and return where to go on."""
    row = connection.execute(
        _CLAIM,
        {
            "group": key.group,
            "cluster": key.cluster,
            "topic": key.topic,
            "topic_id": key.topic_id,
            "partition": key.partition,
            "stream": stream,
            "owner": owner,
        },
    ).fetchone()
    assert row is not None  # noqa: S101 - INSERT .. RETURNING always gives a row
    feed_id, epoch, segment, next_offset, attempts, trial = row
    return Claim(
        _int(feed_id), _int(epoch), _int(segment), None if next_offset is None else _int(next_offset), _int(attempts),
        None if trial is None else _int(trial), _skips(connection, _int(feed_id)),
    )  # fmt: skip


def _skips(connection: Connection, feed_id: int) -> tuple[Hole, ...]:
    rows = connection.execute(_SKIPS, [feed_id]).fetchall()
    return tuple(
        Hole(_int(first), _int(after), "operator", None if note is None else str(note)) for first, after, note in rows
    )


def open_segment(connection: Connection, claimed: Claim, first_offset: int, *, reason: str) -> bool:
    """Store where a feed begins that has no offset yet.

    Returns
    -------
    bool
        False if the feed was claimed by somebody else meanwhile; nothing is written then.
    """
    with connection.transaction():
        moved = connection.execute(
            "UPDATE fulgor.feed SET next_offset = %s, attempt_offset = %s"
            " WHERE feed_id = %s AND epoch = %s AND next_offset IS NULL",
            [first_offset, first_offset, claimed.feed_id, claimed.epoch],
        )
        if moved.rowcount != 1:
            return False
        connection.execute(
            "INSERT INTO fulgor.segment (feed_id, segment, first_offset, reason) VALUES (%s, %s, %s, %s)",
            [claimed.feed_id, claimed.segment, first_offset, reason],
        )
    return True


def first_start(
    connection: Connection, group: str, cluster: str, stream: str, start: str, partitions: Mapping[str, int]
) -> tuple[str, dict[str, int]]:
    """Store what a group finds at its first start; later members get what the first one found.

    Returns
    -------
    start : str
        Where the partitions of the first start begin: ``earliest``, ``latest`` or an ISO time.
    partitions : dict of str to int
        The topics of that moment with their numbers of partitions; any other begins at its beginning.
    """
    connection.execute(
        "INSERT INTO fulgor.group_start (group_name, cluster, stream, start, partitions)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [group, cluster, stream, start, Jsonb(dict(partitions))],
    )
    row = connection.execute(
        "SELECT start, partitions FROM fulgor.group_start WHERE group_name = %s AND cluster = %s AND stream = %s",
        [group, cluster, stream],
    ).fetchone()
    assert row is not None  # noqa: S101 - it was inserted above, by us or before us
    found, known = row
    return str(found), {str(topic): _int(count) for topic, count in cast("dict[str, int]", known).items()}


def unreleased(connection: Connection, group: str, cluster: str, partitions: Mapping[str, int]) -> int:
    """Return how many of these topics' partitions nobody of the group has finished and left in good order."""
    row = connection.execute(
        "SELECT count(*) FROM fulgor.feed WHERE group_name = %s AND cluster = %s AND topic = ANY(%s)"
        " AND released_at IS NOT NULL AND next_offset IS NOT NULL",
        [group, cluster, list(partitions)],
    ).fetchone()
    return sum(partitions.values()) - (_int(row[0]) if row else 0)


def stored(connection: Connection, keys: Collection[FeedKey]) -> dict[FeedKey, int]:
    """Return the next offsets of those of these feeds that have one."""
    columns = list(zip(*((k.group, k.cluster, k.topic, k.topic_id, k.partition) for k in keys), strict=True))
    rows = connection.execute(_STORED, [list(column) for column in columns] or [[]] * 5).fetchall()
    return {
        FeedKey(str(group), str(cluster), str(topic), str(topic_id), _int(number)): _int(offset)
        for group, cluster, topic, topic_id, number, offset in rows
    }


def note_trial(connection: Connection, feed_id: int, epoch: int, offset: int) -> int:
    """Write down that a message is about to be worked on alone; return how often it was, this time included."""
    row = connection.execute(
        "UPDATE fulgor.feed SET trials = CASE WHEN trial_offset = %(offset)s THEN trials + 1 ELSE 1 END,"
        " trial_offset = %(offset)s WHERE feed_id = %(feed)s AND epoch = %(epoch)s RETURNING trials",
        {"offset": offset, "feed": feed_id, "epoch": epoch},
    ).fetchone()
    return _int(row[0]) if row else 0


def release(connection: Connection, feed_id: int, epoch: int) -> None:
    """Note that the owner left in good order; a later claim then counts no failed attempt."""
    connection.execute(
        "UPDATE fulgor.feed SET released_at = now(), attempts = 0 WHERE feed_id = %s AND epoch = %s", [feed_id, epoch]
    )


def _int(value: object) -> int:
    return int(str(value))
