"""What people ask of the results: neighbours of an alert, the strangest of a night, an object through time, a cone.

Every query is of one stream and one model, by default the live one: latents and scores of different
models cannot be compared.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from psycopg import sql

from fulgor.errors import FulgorError, SettingsError
from fulgor.storage.database import Connection
from fulgor.storage.registry import Model
from fulgor.storage.results import (
    SCORES,
    SCORES_AND_LATENT,
    ConeMatch,
    Neighbour,
    ScoredAlert,
    check_limit,
    fetch,
    model_of,
    shared,
)
from fulgor.storage.sky import cone

__all__ = [
    "ConeMatch",
    "Neighbour",
    "ScoredAlert",
    "anomalies",
    "cone",
    "nearest",
    "night_bounds",
    "object_history",
    "scored_alert",
]

Metric = Literal["cosine", "l2"]

_DISTANCES = {"cosine": sql.SQL("<=>"), "l2": sql.SQL("<->")}

_CANDIDATES = 4
# The inner query has the shape of the index of fulgor.storage.indexes (half precision, one model: literals, for a
# partial index matches no parameter); partitions without one are scanned. The outer one ranks by full precision.
_NEAREST = sql.SQL(
    "SELECT {columns}, l.latent {distance} %(target)s AS distance FROM ("
    " SELECT * FROM fulgor.latent"
    " WHERE stream = {stream} AND model_id = {model} AND latent IS NOT NULL"
    " AND alert <> %(alert)s AND (NOT %(other_objects)s OR object <> %(object)s)"
    " ORDER BY latent::halfvec(64) {distance} %(target)s::halfvec(64) LIMIT %(candidates)s"
    ") l ORDER BY l.latent {distance} %(target)s LIMIT %(k)s"
)


def nearest(
    connection: Connection,
    stream: str,
    alert: str,
    k: int = 10,
    *,
    model: str | None = None,
    metric: Metric = "cosine",
    other_objects: bool = False,
) -> list[Neighbour]:
    """Return the k alerts whose latents are nearest to an alert's, the nearest first.

    Parameters
    ----------
    connection : Connection
        With the adapters of pgvector.
    stream, alert : str
        The alert that is asked about; it is not among the results.
    k : int
        How many.
    model : str, optional
        Id, name or hash; default: the live one.
    metric : {'cosine', 'l2'}
        Distance between latents.
    other_objects : bool
        Leave out other alerts of the same object.

    Raises
    ------
    FulgorError
        The alert is unknown, or has no latent.
    ModelError
        There is no such model.
    """
    check_limit(k, "k")
    which = model_of(connection, stream, model)
    target, own_object = _latent_of(connection, which, alert)
    query = _NEAREST.format(
        columns=SCORES, distance=_DISTANCES[metric], model=sql.Literal(which.model_id), stream=sql.Literal(stream)
    )
    parameters = {
        "target": target, "alert": alert, "other_objects": other_objects, "object": own_object,
        "k": k, "candidates": _CANDIDATES * k,
    }  # fmt: skip
    with connection.transaction():
        connection.execute("SELECT set_config('hnsw.ef_search', %s, true)", [str(min(max(_CANDIDATES * k, 100), 1000))])
        connection.execute("SET LOCAL hnsw.iterative_scan = relaxed_order")
        rows = fetch(connection, query, which, parameters)
    return [Neighbour(**shared(row, which), distance=row["distance"]) for row in rows]


def anomalies(
    connection: Connection,
    stream: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 20,
    class_name: str | None = None,
    model: str | None = None,
) -> list[ScoredAlert]:
    """Return the strangest alerts of a stretch of time, the strangest first.

    Parameters
    ----------
    connection : Connection
        To the database.
    stream : str
        Name of the stream.
    since, until : datetime, optional
        Alerts of ``since <= time < until``; see :func:`night_bounds`.
    limit : int
        How many at most.
    class_name : str, optional
        Only alerts that the model holds for this class.
    model : str, optional
        Id, name or hash; default: the live one.

    Raises
    ------
    SettingsError
        The model has no such class.
    ModelError
        There is no such model.
    """
    check_limit(limit, "limit")
    which = model_of(connection, stream, model)
    if class_name is not None and class_name not in which.classes:
        raise SettingsError(f"model {which.name} has no class '{class_name}'; it has {', '.join(which.classes)}")
    query = sql.SQL(
        "SELECT {columns} FROM fulgor.latent l"
        " WHERE l.stream = %(stream)s AND l.model_id = %(model)s AND l.anomaly IS NOT NULL"
        " AND l.time >= %(since)s AND l.time < %(until)s AND (%(class)s::text IS NULL OR l.class = %(class)s)"
        " ORDER BY l.anomaly DESC NULLS LAST, l.alert LIMIT %(limit)s"
    ).format(columns=SCORES)
    parameters = {
        "since": since or datetime.min.replace(tzinfo=UTC),
        "until": until or datetime.max.replace(tzinfo=UTC),
        "class": class_name,
        "limit": limit,
    }
    return [ScoredAlert(**shared(row, which)) for row in fetch(connection, query, which, parameters)]


def object_history(
    connection: Connection, stream: str, object_id: str, *, limit: int = 1000, model: str | None = None
) -> list[ScoredAlert]:
    """Return all alerts of an object with their latents, in the order of time; with a limit, the latest.

    Raises
    ------
    FulgorError
        The object is unknown.
    ModelError
        There is no such model.
    """
    check_limit(limit, "limit")
    which = model_of(connection, stream, model)
    query = sql.SQL(
        "SELECT {columns} FROM fulgor.latent l"
        " WHERE l.stream = %(stream)s AND l.model_id = %(model)s AND l.object = %(object)s"
        " ORDER BY l.time DESC LIMIT %(limit)s"
    ).format(columns=SCORES_AND_LATENT)
    rows = fetch(connection, query, which, {"object": object_id, "limit": limit})
    if not rows:
        raise FulgorError(f"stream '{stream}' has no alert of object '{object_id}' scored by model {which.name}")
    return [ScoredAlert(**shared(row, which)) for row in reversed(rows)]


def scored_alert(connection: Connection, stream: str, alert: str, *, model: str | None = None) -> ScoredAlert | None:
    """Return what a model made of an alert; None where it has not scored it.

    Raises
    ------
    ModelError
        There is no such model.
    """
    which = model_of(connection, stream, model)
    query = sql.SQL(
        "SELECT {columns} FROM fulgor.latent l WHERE l.stream = %(stream)s AND l.model_id = %(model)s"
        " AND l.alert = %(alert)s ORDER BY l.time DESC LIMIT 1"
    ).format(columns=SCORES)
    rows = fetch(connection, query, which, {"alert": alert})
    return ScoredAlert(**shared(rows[0], which)) if rows else None


def night_bounds(night: date) -> tuple[datetime, datetime]:
    """Return the beginning and end of a night: a UTC day, within which a night at Palomar lies."""
    start = datetime.combine(night, time(), tzinfo=UTC)
    return start, start + timedelta(days=1)


def _latent_of(connection: Connection, model: Model, alert: str) -> tuple[object, str]:
    row = connection.execute(
        "SELECT latent, object, unscorable FROM fulgor.latent"
        " WHERE stream = %s AND alert = %s AND model_id = %s ORDER BY time DESC LIMIT 1",
        [model.stream, alert, model.model_id],
    ).fetchone()
    if row is None:
        raise FulgorError(f"stream '{model.stream}' has no alert '{alert}' scored by model {model.name}")
    latent, own_object, unscorable = row
    if latent is None:
        raise FulgorError(f"alert '{alert}' has no latent: {unscorable or 'the model gave none'}")
    return latent, str(own_object)
