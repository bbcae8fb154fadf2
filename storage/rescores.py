"""The queue of rows that are computed again: what waits, what became of it, and the rows as they are revised.

A row is revised in place: it keeps its coordinates, so that the ledger closes as before, and its stamp
latent, which does not depend on any history, so that no other row becomes late by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from fulgor.storage.database import Connection
from fulgor.storage.rows import Result

__all__ = [
    "Backlog",
    "Waiting",
    "forget_dropped",
    "has_topics_waiting",
    "mark_gone",
    "read_backlog",
    "read_waiting",
    "reopen",
    "revise",
    "waiting_models",
]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued row, and where its message lies.

    Parameters
    ----------
    alert, time : str, datetime
        Its key, with stream and model.
    feed_id, segment, offset : int
        Coordinates of the message.
    cluster, topic, topic_id, partition
        Of the feed.
    """

    alert: str
    time: datetime
    feed_id: int
    segment: int
    offset: int
    cluster: str
    topic: str
    topic_id: str
    partition: int

    @property
    def key(self) -> tuple[str, datetime]:
        """What tells it from other rows of its stream and model."""
        return self.alert, self.time

    @property
    def message(self) -> tuple[int, int, int]:
        """What tells its message from others."""
        return self.feed_id, self.segment, self.offset


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many rows are known to be late, can never be settled, or were not compared yet with those around them."""

    late: int
    gone: int
    uncompared: int

    def __str__(self) -> str:
        return f"{self.late} rows late, {self.uncompared} not compared yet, {self.gone} gone"


def read_backlog(connection: Connection) -> Backlog:
    """Return what the job has before it."""
    with connection.cursor(row_factory=class_row(Backlog)) as cursor:
        found = cursor.execute(
            "SELECT count(*) FILTER (WHERE gone IS NULL) AS late, count(gone) AS gone,"
            " (SELECT count(*) FROM fulgor.arrival) AS uncompared FROM fulgor.rescore_queue"
        ).fetchone()
    assert found is not None  # noqa: S101 - an aggregate always gives a row
    return found


def has_topics_waiting(connection: Connection) -> bool:
    """Tell whether the message of a waiting row lies in a topic, not in an archive."""
    row = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM fulgor.rescore_queue q JOIN fulgor.latent l ON l.stream = q.stream"
        " AND l.alert = q.alert AND l.model_id = q.model_id AND l.time = q.time"
        " JOIN fulgor.feed f ON f.feed_id = l.feed_id WHERE q.gone IS NULL AND f.cluster <> 'archive')"
    ).fetchone()
    return bool(row and row[0])


def waiting_models(connection: Connection) -> list[int]:
    """Return the models that have rows waiting."""
    rows = connection.execute(
        "SELECT DISTINCT model_id FROM fulgor.rescore_queue WHERE gone IS NULL ORDER BY model_id"
    ).fetchall()
    return [int(str(model_id)) for (model_id,) in rows]


def read_waiting(
    connection: Connection, stream: str, model_id: int, limit: int, after: Waiting | None = None
) -> list[Waiting]:
    """Return a page of a model's waiting rows, in the order of their messages.

    Parameters
    ----------
    connection : Connection
        To the database.
    stream, model_id : str, int
        Whose.
    limit : int
        Most rows.
    after : Waiting, optional
        The last row of the page before.
    """
    passed = (after.feed_id, after.segment, after.offset, after.alert) if after else (-1, -1, -1, "")
    with connection.cursor(row_factory=class_row(Waiting)) as cursor:
        return cursor.execute(
            'SELECT q.alert, q.time, l.feed_id, l.segment, l."offset", f.cluster, f.topic, f.topic_id, f.partition'
            " FROM fulgor.rescore_queue q"
            ' CROSS JOIN LATERAL (SELECT l.feed_id, l.segment, l."offset" FROM fulgor.latent l'
            " WHERE l.stream = q.stream AND l.alert = q.alert AND l.model_id = q.model_id AND l.time = q.time"
            " OFFSET 0) l"
            " JOIN fulgor.feed f ON f.feed_id = l.feed_id"
            " WHERE q.stream = %s AND q.model_id = %s AND q.gone IS NULL"
            ' AND (l.feed_id, l.segment, l."offset", q.alert) > (%s, %s, %s, %s)'
            ' ORDER BY l.feed_id, l.segment, l."offset", q.alert LIMIT %s',
            [stream, model_id, *passed, limit],
        ).fetchall()


def revise(connection: Connection, stream: str, results: Sequence[Result]) -> None:
    """Put new latents, probabilities, scores and histories into rows, and take them off the queue; one transaction."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE fulgor.latent SET latent = %s, probabilities = %s, class = %s, scores = %s, anomaly = %s,"
            " reference = %s, unscorable = %s, history_times = %s, history = %s, revised_at = now()"
            " WHERE stream = %s AND alert = %s AND model_id = %s AND time = %s",
            [_values(stream, row) for row in results],
        )
        _take_off(connection, stream, results)


def _values(stream: str, row: Result) -> tuple[object, ...]:
    assert row.history is not None  # noqa: S101 - only rows of models that take one are queued
    return (
        row.latent, row.probabilities, row.class_name, row.scores, row.anomaly, row.reference, row.unscorable,
        list(row.history.times), list(row.history.alerts), stream, row.alert, row.model_id, row.time,
    )  # fmt: skip


def _take_off(connection: Connection, stream: str, results: Iterable[Result]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "DELETE FROM fulgor.rescore_queue WHERE stream = %s AND alert = %s AND model_id = %s AND time = %s",
            [(stream, row.alert, row.model_id, row.time) for row in results],
        )


def mark_gone(connection: Connection, stream: str, model_id: int, reasons: Collection[tuple[Waiting, str]]) -> None:
    """Note why rows can never be computed again; they stay as they are and wait no more."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE fulgor.rescore_queue SET gone = %s"
            " WHERE stream = %s AND alert = %s AND model_id = %s AND time = %s",
            [(reason, stream, row.alert, model_id, row.time) for row, reason in reasons],
        )


def reopen(connection: Connection) -> int:
    """Have rows wait again whose messages were gone: their archive may be back; return how many."""
    return connection.execute("UPDATE fulgor.rescore_queue SET gone = NULL WHERE gone IS NOT NULL").rowcount


def forget_dropped(connection: Connection) -> None:
    """Take rows off the queue that were dropped with their night."""
    connection.execute(
        "DELETE FROM fulgor.rescore_queue q WHERE NOT EXISTS (SELECT 1 FROM fulgor.latent l WHERE l.stream = q.stream"
        " AND l.alert = q.alert AND l.model_id = q.model_id AND l.time = q.time)"
    )
