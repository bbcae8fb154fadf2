"""Stored offsets moved by an operator: rewinds, jumps, offsets to pass over; each with its line in the audit.

A rewind closes the feed's segment, with the offset where it ended, and opens a new one, in which
the same offsets are accounted for again. A jump leaves a skipped range of cause ``operator``. Both
raise the epoch, so that a running consumer is fenced and claims again from where it shall go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.rows import class_row

from fulgor.errors import OffsetError
from fulgor.storage.database import Connection

__all__ = ["Change", "Operator", "StoredOffset", "move", "read_offsets", "skip"]

_STORED = """
SELECT feed_id, group_name AS "group", cluster, topic, topic_id, partition, stream, segment, next_offset, owner,
       claimed_at, released_at
FROM fulgor.feed
"""


@dataclass(frozen=True, slots=True)
class StoredOffset:
    """Where a group goes on in one partition.

    Parameters
    ----------
    feed_id : int
        Key of the row.
    group, cluster, topic, topic_id, partition, stream
        Whose offset it is.
    segment : int
        Raised by each rewind.
    next_offset : int or None
        The next offset to read; None if the first claim has not found the start yet.
    owner : str or None
        Host and process of the last claim.
    claimed_at, released_at : datetime or None
        Of the last claim; `released_at` is None while its owner consumes, and if it died.
    """

    feed_id: int
    group: str
    cluster: str
    topic: str
    topic_id: str
    partition: int
    stream: str
    segment: int
    next_offset: int | None
    owner: str | None
    claimed_at: datetime | None
    released_at: datetime | None

    def __str__(self) -> str:
        return f"group {self.group}, {self.topic}[{self.partition}]"


@dataclass(frozen=True, slots=True)
class Operator:
    """Who moves an offset, and why; kept for ever."""

    name: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to one stored offset.

    Parameters
    ----------
    group, topic, partition
        Whose it is.
    action : {'rewind', 'jump', 'order', 'none'}
        ``order``: the offsets lie ahead and will be passed over; ``none``: it stood there already.
    segment : int
        In which consumption goes on.
    old_offset, new_offset : int
        The next offset before and after; of an order, the first offset to pass over and the one behind the last.
    """

    group: str
    topic: str
    partition: int
    action: Literal["rewind", "jump", "order", "none"]
    segment: int
    old_offset: int
    new_offset: int


def read_offsets(connection: Connection, *, group: str | None = None, topic: str | None = None) -> list[StoredOffset]:
    """Return stored offsets, in the order of group, topic and partition.

    Parameters
    ----------
    connection : Connection
        To the database.
    group, topic : str, optional
        Only of these.
    """
    with connection.cursor(row_factory=class_row(StoredOffset)) as cursor:
        return cursor.execute(
            _STORED + " WHERE (%(group)s::text IS NULL OR group_name = %(group)s)"
            " AND (%(topic)s::text IS NULL OR topic = %(topic)s)"
            " ORDER BY group_name, cluster, topic, topic_id, partition",
            {"group": group, "topic": topic},
        ).fetchall()


def move(connection: Connection, moves: Sequence[tuple[int, int]], by: Operator) -> list[Change]:
    """Move stored offsets, all or none.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    moves : sequence of (feed_id, offset)
        Where each feed shall go on.
    by : Operator
        For the audit.

    Raises
    ------
    OffsetError
        A feed has no stored offset yet.
    """
    with connection.transaction():
        return [_move(connection, _lock(connection, feed_id), offset, by) for feed_id, offset in sorted(moves)]


def skip(connection: Connection, feed_id: int, first: int, after: int, by: Operator) -> Change:
    """Pass over the offsets from `first` to before `after`: at once, or when the consumer comes there.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    feed_id : int
        Of which feed.
    first, after : int
        The first offset to pass over, and the one to go on with.
    by : Operator
        For the audit.

    Raises
    ------
    OffsetError
        All of them were read already.
    """
    with connection.transaction():
        stored = _lock(connection, feed_id)
        if after <= stored.reached:
            raise OffsetError(
                f"{stored.feed}: offsets before {stored.reached} were read already and have their account;"
                " a row that is not wanted is deleted, not skipped"
            )
        if first <= stored.reached:
            return _jump(connection, stored, after, by)
        connection.execute(
            "INSERT INTO fulgor.skip_order (feed_id, segment, first_offset, next_offset, note)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (feed_id, segment, first_offset) DO UPDATE"
            " SET next_offset = greatest(skip_order.next_offset, excluded.next_offset), note = excluded.note",
            [feed_id, stored.feed.segment, first, after, by.note],
        )
        _fence(connection, feed_id)
        return _audited(connection, stored.feed, "order", (first, after), stored.feed.segment, by)


@dataclass(frozen=True, slots=True)
class _Locked:
    feed: StoredOffset
    reached: int


def _lock(connection: Connection, feed_id: int) -> _Locked:
    with connection.cursor(row_factory=class_row(StoredOffset)) as cursor:
        feed = cursor.execute(_STORED + " WHERE feed_id = %s FOR UPDATE", [feed_id]).fetchone()
    if feed is None or feed.next_offset is None:
        raise OffsetError(
            f"{feed or f'feed {feed_id}'}: nothing is stored yet; where a consumer begins is said by its --from"
        )
    return _Locked(feed, feed.next_offset)


def _move(connection: Connection, stored: _Locked, offset: int, by: Operator) -> Change:
    if offset > stored.reached:
        return _jump(connection, stored, offset, by)
    if offset < stored.reached:
        return _rewind(connection, stored, offset, by)
    feed = stored.feed
    return Change(feed.group, feed.topic, feed.partition, "none", feed.segment, offset, offset)


def _jump(connection: Connection, stored: _Locked, offset: int, by: Operator) -> Change:
    feed = stored.feed
    connection.execute(
        "INSERT INTO fulgor.skipped (feed_id, segment, first_offset, next_offset, cause, note)"
        " VALUES (%s, %s, %s, %s, 'operator', %s)",
        [feed.feed_id, feed.segment, stored.reached, offset, by.note],
    )
    _go_on(connection, feed.feed_id, feed.segment, offset)
    return _audited(connection, feed, "jump", (stored.reached, offset), feed.segment, by)


def _rewind(connection: Connection, stored: _Locked, offset: int, by: Operator) -> Change:
    feed, segment = stored.feed, stored.feed.segment + 1
    connection.execute(
        "UPDATE fulgor.segment SET end_offset = %s WHERE feed_id = %s AND segment = %s",
        [stored.reached, feed.feed_id, feed.segment],
    )
    connection.execute(
        "INSERT INTO fulgor.segment (feed_id, segment, first_offset, reason) VALUES (%s, %s, %s, 'rewind')",
        [feed.feed_id, segment, offset],
    )
    _go_on(connection, feed.feed_id, segment, offset)
    return _audited(connection, feed, "rewind", (stored.reached, offset), segment, by)


def _go_on(connection: Connection, feed_id: int, segment: int, offset: int) -> None:
    connection.execute(
        "UPDATE fulgor.feed SET segment = %s, next_offset = %s, attempt_offset = %s, attempts = 0 WHERE feed_id = %s",
        [segment, offset, offset, feed_id],
    )
    _fence(connection, feed_id)


def _fence(connection: Connection, feed_id: int) -> None:
    connection.execute("UPDATE fulgor.feed SET epoch = epoch + 1 WHERE feed_id = %s", [feed_id])


def _audited(
    connection: Connection,
    feed: StoredOffset,
    action: Literal["rewind", "jump", "order"],
    offsets: tuple[int, int],
    segment: int,
    by: Operator,
) -> Change:
    connection.execute(
        "INSERT INTO fulgor.offset_audit (feed_id, action, old_offset, new_offset, segment, done_by, note)"
        " VALUES (%s, %s, %s, %s, %s, %s || ' as ' || current_user, %s)",
        [feed.feed_id, action, *offsets, segment, by.name, by.note],
    )
    return Change(feed.group, feed.topic, feed.partition, action, segment, *offsets)
