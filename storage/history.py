"""Earlier alerts of an object as a model stored them: found for a batch, and compared with what rows list.

A row lists the times of the earlier alerts that its packet names, and the alerts at those times whose
stamp latents entered it. It is *late* where another alert is stored at one of these times than the one
that it lists. Alerts that it lists and that are stored no more (their night was dropped) change nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from numpy import float32
from numpy.typing import NDArray
from psycopg import sql

from fulgor.storage.database import Connection

__all__ = ["Earlier", "Observation", "find_late", "read_earlier"]

_ARRIVALS = 1000


class Observation(NamedTuple):
    """An object, and the time at which it was observed."""

    object: str
    time: datetime


class Earlier(NamedTuple):
    """A stored alert, and what a model's encoder made of its stamps."""

    alert: str
    stamp_latent: NDArray[float32]


# Of two alerts of an object at one time, which there should not be, the first by name: whichever came first.
_STORED = sql.SQL(
    "(SELECT l.alert, l.stamp_latent FROM fulgor.latent l WHERE l.stream = {stream} AND l.object = {object}"
    " AND l.time = {time}{span} AND l.model_id = {model} AND l.stamp_latent IS NOT NULL"
    ' ORDER BY l.alert COLLATE "C" LIMIT 1)'
)
_READ = sql.SQL(
    "SELECT w.number, stored.alert, stored.stamp_latent"
    " FROM unnest(%(objects)s::text[], %(times)s::timestamptz[]) WITH ORDINALITY AS w (object, time, number)"
    " CROSS JOIN LATERAL {stored} stored"
).format(
    stored=_STORED.format(
        # Nights before the first and after the last are then not even opened.
        span=sql.SQL(" AND l.time BETWEEN %(first)s AND %(last)s"),
        stream=sql.Placeholder("stream"),
        object=sql.Identifier("w", "object"),
        time=sql.Identifier("w", "time"),
        model=sql.Placeholder("model"),
    )
)


# A plan made while a partition was empty would go on scanning it when it holds a million rows; and to make one anew for
# each batch takes longer, with a year of nights, than the look-up.
_PLANNING = sql.SQL("SELECT set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', {}, true)").format(
    sql.Literal("force_generic_plan")
)


def read_earlier(
    connection: Connection, stream: str, model_id: int, wanted: Collection[Observation]
) -> dict[Observation, Earlier]:
    """Return those of these alerts that a model has stored with a stamp latent, by one query.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    stream : str
        Whose rows.
    model_id : int
        The model's key: another model's latents mean something else.
    wanted : collection of Observation
        What is looked for; the same one twice is looked for once.
    """
    named = list(dict.fromkeys(wanted))
    if not named:
        return {}
    times = [one.time for one in named]
    parameters = {
        "stream": stream,
        "model": model_id,
        "objects": [one.object for one in named],
        "times": times,
        "first": min(times),
        "last": max(times),
    }
    with connection.transaction(), connection.cursor(binary=True) as cursor:
        cursor.execute(_PLANNING)
        rows: list[tuple[Any, ...]] = cursor.execute(_READ, parameters, prepare=True).fetchall()
    return {named[number - 1]: Earlier(alert, vector.to_numpy()) for number, alert, vector in rows}


# All of it in one statement, hence under one snapshot: whose arrival is seen, its row is seen.
_QUEUE_LATE = sql.SQL(
    """
WITH taken AS (
    DELETE FROM fulgor.arrival WHERE arrival_id IN (SELECT arrival_id FROM fulgor.arrival ORDER BY 1 LIMIT {page})
    RETURNING stream, model_id, object, time
),
touched AS (
    SELECT DISTINCT t.stream, t.model_id, t.object, s.alert, s.time, s.history_times, s.history
    FROM taken t
    CROSS JOIN LATERAL (
        SELECT l.alert, l.time, l.history_times, l.history FROM fulgor.latent l
        WHERE l.stream = t.stream AND l.object = t.object AND l.time >= t.time AND l.model_id = t.model_id
          AND (l.time = t.time OR t.time = ANY (l.history_times)) OFFSET 0) s
),
late AS (
    SELECT s.stream, s.alert, s.time, s.model_id, s.object, other.alert AS because, other.time AS because_time
    FROM touched s
    CROSS JOIN LATERAL (
        SELECT named.time, stored.alert FROM unnest(s.history_times, s.history) AS named (time, alert)
        CROSS JOIN LATERAL {stored} stored
        WHERE stored.alert IS DISTINCT FROM named.alert ORDER BY named.time LIMIT 1) other
),
queued AS (
    INSERT INTO fulgor.rescore_queue (stream, alert, time, model_id, object, because, because_time)
    SELECT stream, alert, time, model_id, object, because, because_time FROM late
    ON CONFLICT (stream, alert, model_id, time) DO UPDATE
        SET because = excluded.because, because_time = excluded.because_time, queued_at = now(), gone = NULL
    RETURNING 1
)
SELECT (SELECT count(*) FROM taken), (SELECT count(*) FROM queued)
"""
).format(
    page=sql.Literal(_ARRIVALS),
    stored=_STORED.format(
        span=sql.SQL(""),
        stream=sql.Identifier("s", "stream"),
        object=sql.Identifier("s", "object"),
        time=sql.Identifier("named", "time"),
        model=sql.Identifier("s", "model_id"),
    ),
)


def find_late(connection: Connection) -> int:
    """Compare all rows that came since the last time with the rows around them, and queue those that are late.

    Parameters
    ----------
    connection : Connection
        In autocommit mode: a page of arrivals is a transaction, so that an interrupted run goes on where it was.

    Returns
    -------
    int
        Rows that were queued.
    """
    total = 0
    while True:
        with connection.transaction():
            connection.execute("SET LOCAL enable_seqscan = off")
            row = connection.execute(_QUEUE_LATE).fetchone()
        assert row is not None  # noqa: S101 - an aggregate always gives a row
        taken, queued = (int(str(value)) for value in row)
        total += queued
        if taken < _ARRIVALS:
            return total
