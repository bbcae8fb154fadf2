"""Dead letters, read: what lies there, one in full, and those to try again with their bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row, dict_row

from fulgor.errors import FulgorError
from fulgor.storage.database import Connection
from fulgor.storage.rows import Coordinates, RawMessage

__all__ = ["DeadRecord", "DeadSummary", "list_dead", "load_dead"]

_WANTED = """
 WHERE (%(ids)s::bigint[] IS NULL OR dead_id = ANY(%(ids)s))
   AND (%(status)s::text IS NULL OR status = %(status)s)
   AND (%(stream)s::text IS NULL OR stream = %(stream)s)
   AND (%(error_class)s::text IS NULL OR error_class = %(error_class)s)
   AND (%(stage)s::text IS NULL OR stage = %(stage)s)
"""
_SUMMARY = """
SELECT dead_id, stream, group_name AS "group", topic, partition, "offset", record, item, stage, error_class, reason,
       attempts, status, first_seen, last_tried, bytes
FROM fulgor.dead_letters
"""
_RECORD = """
SELECT * FROM (
    SELECT d.*, f.group_name, f.cluster, f.topic, f.partition, m.value, m.key, m.headers, m.timestamp_ms
    FROM fulgor.dead_letter d
    JOIN fulgor.dead_message m USING (feed_id, segment, "offset")
    JOIN fulgor.feed f ON f.feed_id = d.feed_id
) d
"""


@dataclass(frozen=True, slots=True)
class DeadSummary:
    """A dead letter without its message.

    Parameters
    ----------
    dead_id : int
        Its key.
    stream, group, topic, partition, offset, record, item
        What it was read from; record and item are 0 where the whole message or record is dead.
    stage : str
        Where it failed: ``framing``, ``container``, ``schema``, ``record``, ``prepare``, ``store``, ``database``.
    error_class, reason : str
        Of the error.
    attempts : int
        How often it was tried.
    status : {'dead', 'redriven'}
        Redriven ones are rows by now.
    first_seen, last_tried : datetime
        UTC.
    bytes : int or None
        Size of the message; None if it had no value.
    """

    dead_id: int
    stream: str
    group: str
    topic: str
    partition: int
    offset: int
    record: int
    item: int
    stage: str
    error_class: str
    reason: str
    attempts: int
    status: str
    first_seen: datetime
    last_tried: datetime
    bytes: int | None


@dataclass(frozen=True, slots=True)
class DeadRecord:
    """A dead letter with the message that it came from, ready to be tried again.

    Parameters
    ----------
    dead_id : int
        Its key.
    stream : str
        Who can decode it.
    at : Coordinates
        What it accounts for: the whole message if record and item are 0 of 1, the whole record if
        the item is 0 of 1.
    stage, error_class, reason, attempts, status, first_seen, last_tried
        As in :class:`DeadSummary`.
    group, cluster, topic, partition
        Of the feed.
    message : RawMessage
        As it came.
    """

    dead_id: int
    stream: str
    at: Coordinates
    stage: str
    error_class: str
    reason: str
    attempts: int
    status: str
    first_seen: datetime
    last_tried: datetime
    group: str
    cluster: str
    topic: str
    partition: int
    message: RawMessage


def list_dead(
    connection: Connection,
    *,
    stream: str | None = None,
    error_class: str | None = None,
    stage: str | None = None,
    status: str | None = "dead",
    limit: int = 100,
) -> list[DeadSummary]:
    """Return dead letters, the latest first; None means any."""
    parameters = _filters(None, stream, error_class, stage, status)
    with connection.cursor(row_factory=class_row(DeadSummary)) as cursor:
        return cursor.execute(
            _SUMMARY + _WANTED + "ORDER BY dead_id DESC LIMIT %(limit)s", parameters | {"limit": limit}
        ).fetchall()


def load_dead(
    connection: Connection,
    ids: Sequence[int] | None = None,
    *,
    stream: str | None = None,
    error_class: str | None = None,
    stage: str | None = None,
    status: str | None = "dead",
    after: int = 0,
    limit: int = 100,
) -> list[DeadRecord]:
    """Return dead letters with their messages, in the order of their keys.

    A page at a time, for messages are large: ask again with `after` the last key.

    Parameters
    ----------
    connection : Connection
        To the database.
    ids : sequence of int, optional
        Only these; they must all exist, whatever their status.
    stream, error_class, stage, status : str, optional
        Only those; None means any.
    after : int
        Only keys above.
    limit : int
        Most letters to return.

    Raises
    ------
    FulgorError
        There is no dead letter of an id that was asked for.
    """
    if ids is not None:
        _check_ids(connection, ids)
        status = None
    parameters = _filters(ids, stream, error_class, stage, status) | {"after": after, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            _RECORD + _WANTED + "AND dead_id > %(after)s ORDER BY dead_id LIMIT %(limit)s", parameters
        ).fetchall()
    return [_record(row) for row in rows]


def _filters(
    ids: Sequence[int] | None, stream: str | None, error_class: str | None, stage: str | None, status: str | None
) -> dict[str, object]:
    return {
        "ids": None if ids is None else list(ids),
        "stream": stream,
        "error_class": error_class,
        "stage": stage,
        "status": status,
    }


def _check_ids(connection: Connection, ids: Sequence[int]) -> None:
    rows = connection.execute("SELECT dead_id FROM fulgor.dead_letter WHERE dead_id = ANY(%s)", [list(ids)]).fetchall()
    unknown = sorted(set(ids) - {int(str(dead_id)) for (dead_id,) in rows})
    if unknown:
        named = ", ".join(map(str, unknown[:5]))
        raise FulgorError(f"there is no dead letter {named}: 'fulgor dead list' names those there are")


def _record(row: Mapping[str, Any]) -> DeadRecord:
    headers = [(name, None if value is None else bytes.fromhex(value)) for name, value in row["headers"]]
    return DeadRecord(
        at=Coordinates(*(row[name] for name in Coordinates._fields)),
        group=row["group_name"],
        message=RawMessage(row["value"], row["key"], headers, row["timestamp_ms"]),
        **{
            name: row[name]
            for name in (
                "dead_id", "stream", "stage", "error_class", "reason", "attempts", "status", "first_seen",
                "last_tried", "cluster", "topic", "partition",
            )
        },
    )  # fmt: skip
