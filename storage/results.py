"""Rows of results, whichever question they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from fulgor.errors import SettingsError
from fulgor.storage.database import Connection
from fulgor.storage.registry import Model, find_model, live_model

__all__ = [
    "SCORES",
    "SCORES_AND_LATENT",
    "ConeMatch",
    "Neighbour",
    "ScoredAlert",
    "check_limit",
    "fetch",
    "model_of",
    "shared",
]

SCORES_AND_LATENT = sql.SQL(
    "l.alert, l.object, l.time, l.class, l.probabilities, l.scores, l.anomaly, l.reference, l.flags, l.unscorable,"
    " l.latent"
)
SCORES = sql.SQL(
    "l.alert, l.object, l.time, l.class, l.probabilities, l.scores, l.anomaly, l.reference, l.flags, l.unscorable,"
    " NULL AS latent"
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
    reference : str or None
        Id of the reference set that ``anomaly`` is a rank in.
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
    reference: str | None
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


def model_of(connection: Connection, stream: str, model: str | None) -> Model:
    """Return the model that was asked for, or the live one."""
    return live_model(connection, stream) if model is None else find_model(connection, model, stream)


def fetch(
    connection: Connection, query: sql.Composed, model: Model, parameters: Mapping[str, object]
) -> list[dict[str, Any]]:
    """Run a query of one stream and model."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, {"stream": model.stream, "model": model.model_id, **parameters}).fetchall()


def shared(row: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """Return the fields of a :class:`ScoredAlert`."""
    return {
        "alert": row["alert"],
        "object": row["object"],
        "time": row["time"],
        "model": model.name,
        "class_name": row["class"],
        "probabilities": dict(zip(model.classes, row["probabilities"] or [], strict=False)),
        "scores": dict(zip(model.scores, row["scores"] or [], strict=False)),
        "anomaly": row["anomaly"],
        "reference": row["reference"],
        "flags": row["flags"],
        "unscorable": row["unscorable"],
        "latent": None if row["latent"] is None else tuple(row["latent"].to_list()),
    }


def check_limit(value: int, name: str) -> None:
    """Refuse a number of rows that nobody can mean."""
    if not 1 <= value <= 1_000_000:
        raise SettingsError(f"{name} = {value}: must lie between 1 and 1,000,000")
