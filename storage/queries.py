"""What people ask of the results: neighbours of an alert, the strangest of a night, an object through time, a cone.

Every query is of one stream and one model, by default the live one: latents and scores of different
models cannot be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from psycopg import sql
from psycopg.rows import dict_row

from fulgor.errors import FulgorError, SettingsError
from fulgor.storage.database import Connection
from fulgor.storage.registry import Model, find_model, live_model
from fulgor.storage.sky import cover

__all__ = ["ConeMatch", "Neighbour", "ScoredAlert", "anomalies", "cone", "nearest", "night_bounds", "object_history"]

Metric = Literal["cosine", "l2"]

_DISTANCES = {"cosine": sql.SQL("<=>"), "l2": sql.SQL("<->")}
_COLUMNS = sql.SQL(
    "l.alert, l.object, l.time, l.class, l.probabilities, l.scores, l.anomaly, l.flags, l.unscorable, l.latent"
)
_NO_LATENT = sql.SQL(
    "l.alert, l.object, l.time, l.class, l.probabilities, l.scores, l.anomaly, l.flags, l.unscorable, NULL AS latent"
)


@dataclass(frozen=True, slots=True)
class ScoredAlert:
    """An alert with what one model made of it.

    Parameters
    ----------
    alert, object : str
        Its id, and that of the object that it belongs to.
    time : datetime
        The alert's own, UTC.
    model : str
        Name of the model.
    class_name : str or None
        The most probable class; None where there are no probabilities.
    probabilities, scores : mapping of str to float or None
        By the model's names; None for a value that could not be had.
    anomaly : float or None
        In [0, 1]; None where it could not be had.
    flags : int
        Quality bits of the stream.
    unscorable : str or None
        Why there are no scores.
    latent : tuple of float or None
        z_object; None where there is none, or where it was not asked for.
    """

    alert: str
    object: str
    time: datetime
    model: str
    class_name: str | None
    probabilities: Mapping[str, float | None]
    scores: Mapping[str, float | None]
    anomaly: float | None
    flags: int
    unscorable: str | None
    latent: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Neighbour(ScoredAlert):
    """An alert and its distance, in the chosen metric, from the one that was asked about."""

    distance: float


@dataclass(frozen=True, slots=True)
class ConeMatch(ScoredAlert):
    """An alert, its place in degrees, and its distance from the cone's centre in arcseconds."""

    ra: float
    dec: float
    separation: float


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
    _check_limit(k, "k")
    which = _model(connection, stream, model)
    target, own_object = _latent_of(connection, which, alert)
    query = sql.SQL(
        "SELECT {columns}, l.latent {distance} %(target)s AS distance FROM fulgor.latent l"
        " WHERE l.stream = %(stream)s AND l.model_id = %(model)s AND l.latent IS NOT NULL"
        " AND l.alert <> %(alert)s AND (NOT %(other_objects)s OR l.object <> %(object)s)"
        " ORDER BY l.latent {distance} %(target)s LIMIT %(k)s"
    ).format(columns=_NO_LATENT, distance=_DISTANCES[metric])
    parameters = {"target": target, "alert": alert, "other_objects": other_objects, "object": own_object, "k": k}
    rows = _rows(connection, query, which, parameters)
    return [Neighbour(**_shared(row, which), distance=row["distance"]) for row in rows]


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
    _check_limit(limit, "limit")
    which = _model(connection, stream, model)
    if class_name is not None and class_name not in which.classes:
        raise SettingsError(f"model {which.name} has no class '{class_name}'; it has {', '.join(which.classes)}")
    query = sql.SQL(
        "SELECT {columns} FROM fulgor.latent l"
        " WHERE l.stream = %(stream)s AND l.model_id = %(model)s AND l.anomaly IS NOT NULL"
        " AND l.time >= %(since)s AND l.time < %(until)s AND (%(class)s::text IS NULL OR l.class = %(class)s)"
        " ORDER BY l.anomaly DESC NULLS LAST, l.alert LIMIT %(limit)s"
    ).format(columns=_NO_LATENT)
    parameters = {
        "since": since or datetime.min.replace(tzinfo=UTC),
        "until": until or datetime.max.replace(tzinfo=UTC),
        "class": class_name,
        "limit": limit,
    }
    return [ScoredAlert(**_shared(row, which)) for row in _rows(connection, query, which, parameters)]


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
    _check_limit(limit, "limit")
    which = _model(connection, stream, model)
    query = sql.SQL(
        "SELECT {columns} FROM fulgor.latent l"
        " WHERE l.stream = %(stream)s AND l.model_id = %(model)s AND l.object = %(object)s"
        " ORDER BY l.time DESC LIMIT %(limit)s"
    ).format(columns=_COLUMNS)
    rows = _rows(connection, query, which, {"object": object_id, "limit": limit})
    if not rows:
        raise FulgorError(f"stream '{stream}' has no alert of object '{object_id}' scored by model {which.name}")
    return [ScoredAlert(**_shared(row, which)) for row in reversed(rows)]


def cone(
    connection: Connection,
    stream: str,
    ra: float,
    dec: float,
    radius: float,
    *,
    limit: int = 1000,
    model: str | None = None,
) -> list[ConeMatch]:
    """Return the alerts within an angle of a place, the nearest first.

    The search looks up ranges of the HEALPix index and then takes the exact angular distance
    (haversine).

    Parameters
    ----------
    connection : Connection
        To the database.
    stream : str
        A stream whose alerts have places.
    ra, dec : float
        Degrees, J2000.
    radius : float
        Arcseconds, at most 36,000 (10 degrees).
    limit : int
        How many at most.
    model : str, optional
        Id, name or hash; default: the live one. Alerts that it has not scored are left out.

    Raises
    ------
    SettingsError
        A number is out of its range, or the stream has no places.
    ModelError
        There is no such model.
    """
    _check_limit(limit, "limit")
    ranges = cover(ra, dec, radius)
    which = _model(connection, stream, model)
    _check_places(connection, stream)
    # The ranges overlap nowhere, so that no alert comes twice.
    query = sql.SQL(
        "SELECT {columns}, a.ra, a.dec, a.separation FROM (SELECT a.alert, a.time, a.ra, a.dec,"
        " 7200 * degrees(asin(least(1, sqrt(sind((a.dec - %(dec)s) / 2) ^ 2"
        " + cosd(a.dec) * cosd(%(dec)s) * sind((a.ra - %(ra)s) / 2) ^ 2)))) AS separation"
        " FROM unnest(%(first)s::bigint[], %(after)s::bigint[]) AS r (first, after)"
        " JOIN {table} a ON a.healpix >= r.first AND a.healpix < r.after) a"
        " JOIN fulgor.latent l ON l.stream = %(stream)s AND l.alert = a.alert AND l.time = a.time"
        " AND l.model_id = %(model)s"
        " WHERE a.separation <= %(radius)s ORDER BY a.separation, l.time LIMIT %(limit)s"
    ).format(columns=_NO_LATENT, table=sql.Identifier("fulgor", f"{stream}_alert"))
    first, after = (list(ends) for ends in zip(*ranges, strict=True))
    parameters = {"ra": ra, "dec": dec, "radius": radius, "limit": limit, "first": first, "after": after}
    return [
        ConeMatch(**_shared(row, which), ra=row["ra"], dec=row["dec"], separation=row["separation"])
        for row in _rows(connection, query, which, parameters)
    ]


def night_bounds(night: date) -> tuple[datetime, datetime]:
    """Return the beginning and end of a night: a UTC day, within which a night at Palomar lies."""
    start = datetime.combine(night, time(), tzinfo=UTC)
    return start, start + timedelta(days=1)


def _model(connection: Connection, stream: str, model: str | None) -> Model:
    return live_model(connection, stream) if model is None else find_model(connection, model, stream)


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


def _rows(
    connection: Connection, query: sql.Composed, model: Model, parameters: Mapping[str, object]
) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, {"stream": model.stream, "model": model.model_id, **parameters}).fetchall()


def _shared(row: Mapping[str, Any], model: Model) -> dict[str, Any]:
    return {
        "alert": row["alert"],
        "object": row["object"],
        "time": row["time"],
        "model": model.name,
        "class_name": row["class"],
        "probabilities": dict(zip(model.classes, row["probabilities"] or [], strict=False)),
        "scores": dict(zip(model.scores, row["scores"] or [], strict=False)),
        "anomaly": row["anomaly"],
        "flags": row["flags"],
        "unscorable": row["unscorable"],
        "latent": None if row["latent"] is None else tuple(row["latent"].to_list()),
    }


def _check_limit(value: int, name: str) -> None:
    if not 1 <= value <= 1_000_000:
        raise SettingsError(f"{name} = {value}: must lie between 1 and 1,000,000")


def _check_places(connection: Connection, stream: str) -> None:
    row = connection.execute(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname IN ('ra', 'dec', 'healpix')",
        [f"fulgor.{stream}_alert"],
    ).fetchone()
    if row != (3,):
        raise SettingsError(f"alerts of stream '{stream}' have no places on the sky")
