"""Feeds: one row per group and partition that says where consumption goes on, and who may write.

A claim raises the row's epoch; every write compares epoch and offset under the row's lock, so a
consumer that lost the partition without knowing it cannot write.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import cast

from psycopg.types.json import Jsonb

from fulgor.storage.database import Connection
from fulgor.storage.rows import Hole

__all__ = [
    "Claim", "FeedKey", "FeedState", "claim", "end_sleepers", "first_start", "note_trial", "open_segment",
    "read_states", "release", "stored",
]  # fmt: skip

# The row's lock is held for one transaction of a live owner. A member that is stopped within one holds it as long as
# it sleeps: a server that waits for rows within COPY heeds no time-out, only the end of the session.
_LOCK_MS = 2_000
_ASLEEP_S = 5.0


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
    trial_offset : int or None
        The offset that was last worked on alone.
    skips : tuple of Hole
        Offsets ahead that an operator wants passed over, in order.
    claimed_at : datetime or None
        The database's time of the claim: it stays when an operator moves the feed, and changes with the next claim.
    """

    feed_id: int
    epoch: int
    segment: int
    next_offset: int | None
    attempts: int
    trial_offset: int | None = None
    skips: tuple[Hole, ...] = ()
    claimed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FeedState:
    """What a feed's row says of its owner and its offset."""

    epoch: int
    next_offset: int | None
    claimed_at: datetime | None


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
RETURNING feed_id, epoch, segment, next_offset, attempts, trial_offset, claimed_at
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
    """Raise the feed's epoch and return where to go on.

    Raises
    ------
    psycopg.errors.LockNotAvailable
        Another session keeps the row locked.
    """
    connection.execute("SELECT set_config('lock_timeout', %s, true)", [str(_LOCK_MS)])  # until the transaction ends
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
    feed_id, epoch, segment, next_offset, attempts, trial, claimed_at = row
    return Claim(
        _int(feed_id), _int(epoch), _int(segment), None if next_offset is None else _int(next_offset), _int(attempts),
        None if trial is None else _int(trial), _skips(connection, _int(feed_id)),
        cast("datetime", claimed_at),
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


def end_sleepers(connection: Connection) -> int:
    """End the sessions of members that have sent nothing for long within a transaction; return how many."""
    row = connection.execute(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
        " AND usename = current_user AND application_name LIKE 'fulgor %%:%%' AND wait_event = 'ClientRead'"
        " AND state <> 'idle' AND state_change < clock_timestamp() - make_interval(secs => %s)",
        [_ASLEEP_S],
    ).fetchone()
    return _int(row[0]) if row else 0


def read_states(connection: Connection, feeds: Collection[int]) -> dict[int, FeedState]:
    """Return the states of those of these feeds that there are."""
    rows = connection.execute(
        "SELECT feed_id, epoch, next_offset, claimed_at FROM fulgor.feed WHERE feed_id = ANY(%s)", [list(feeds)]
    ).fetchall()
    return {
        _int(feed): FeedState(_int(epoch), None if offset is None else _int(offset), cast("datetime | None", claimed))
        for feed, epoch, offset, claimed in rows
    }


def stored(connection: Connection, keys: Collection[FeedKey]) -> dict[FeedKey, int]:
    """Return the next offsets of those of these feeds that have one."""
    columns = [[getattr(key, field.name) for key in keys] for field in fields(FeedKey)]
    return {
        FeedKey(str(group), str(cluster), str(topic), str(topic_id), _int(number)): _int(offset)
        for group, cluster, topic, topic_id, number, offset in connection.execute(_STORED, columns).fetchall()
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
