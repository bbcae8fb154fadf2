"""How far each night lies from what its model was measured on, kept as rows of ``night_drift``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import class_row

from fulgor.models.drift import FEWEST, Sample, compare, read_reference
from fulgor.models.reference import Reference
from fulgor.storage.database import Connection
from fulgor.storage.modelfiles import read_files
from fulgor.storage.partitions import EARLIEST, LATEST
from fulgor.storage.registry import Model, list_models

__all__ = ["NIGHTLY", "NightDrift", "latest_drift", "measure_drift", "read_drift"]

NIGHTLY = 500
"""Alerts of a night that are compared, drawn by their ids; the cost is quadratic."""

_SELECT = (
    "SELECT stream, night, model, hash, model_status, alerts, sampled, reference, distance, level, p_value, beyond,"
    " drifted, computed_at FROM fulgor.drift"
)


@dataclass(frozen=True, slots=True)
class NightDrift:
    """A night against the sample that was kept with a model.

    Parameters
    ----------
    stream : str
        Whose.
    night : date
        UTC day of the alerts' own times.
    model, hash, model_status : str
        The model.
    alerts, sampled, reference : int
        Alerts of the night with a latent, how many of them were compared, and with how many of the sample.
    distance, level : float
        Energy distance, and the 95th percentile of what chance alone gives; in units of the latent.
    p_value : float
        Part of 199 shuffles that give as much.
    beyond : float or None
        Share of the night's scored alerts beyond the 99th percentile of the sample's anomaly.
    drifted : bool
        The distance is more than chance gives.
    computed_at : datetime
        UTC.
    """

    stream: str
    night: date
    model: str
    hash: str
    model_status: str
    alerts: int
    sampled: int
    reference: int
    distance: float
    level: float
    p_value: float
    beyond: float | None
    drifted: bool
    computed_at: datetime


def measure_drift(connection: Connection, stream: str | None = None) -> tuple[int, list[Model]]:
    """Measure the nights that are new or have grown, for each model that scores.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    stream : str, optional
        Only this instrument's.

    Returns
    -------
    int
        Nights measured.
    list of Model
        Those that have no sample to compare with.
    """
    measured, without = 0, []
    for model in list_models(connection, stream):
        if model.status not in {"live", "shadow"}:
            continue
        files = read_files(connection, model.model_id)
        sample = Sample.read(files)
        if sample is None:
            without.append(model)
            continue
        reference = read_reference(files)
        for night, alerts in _grown(connection, model):
            measured += _measure(connection, model, night, alerts, sample, reference)
    return measured, without


def read_drift(connection: Connection, stream: str | None = None, *, limit: int = 100) -> list[NightDrift]:
    """Return the measured nights, the latest first."""
    with connection.cursor(row_factory=class_row(NightDrift)) as cursor:
        return cursor.execute(
            _SELECT + " WHERE %s::text IS NULL OR stream = %s ORDER BY night DESC, model_id LIMIT %s",
            [stream, stream, limit],
        ).fetchall()


def latest_drift(connection: Connection, model_id: int) -> NightDrift | None:
    """Return the latest measured night of a model, None if there is none."""
    with connection.cursor(row_factory=class_row(NightDrift)) as cursor:
        return cursor.execute(_SELECT + " WHERE model_id = %s ORDER BY night DESC LIMIT 1", [model_id]).fetchone()


def _grown(connection: Connection, model: Model) -> Iterator[tuple[date, int]]:
    """Yield the nights whose number of alerts is not the one that was measured."""
    rows = connection.execute(
        "SELECT n.night, n.alerts FROM (SELECT (time AT TIME ZONE 'UTC')::date AS night, count(*) AS alerts"
        " FROM fulgor.latent WHERE stream = %(stream)s AND model_id = %(model)s AND latent IS NOT NULL"
        " AND time >= %(first)s AND time < %(last)s GROUP BY 1 HAVING count(*) >= %(fewest)s) n"
        " LEFT JOIN fulgor.night_drift d ON d.stream = %(stream)s AND d.model_id = %(model)s AND d.night = n.night"
        " WHERE d.alerts IS DISTINCT FROM n.alerts ORDER BY n.night",
        {"stream": model.stream, "model": model.model_id, "first": EARLIEST, "last": LATEST, "fewest": FEWEST},
    ).fetchall()
    for night, alerts in rows:
        assert isinstance(night, date)  # noqa: S101 - as the query says
        yield night, int(str(alerts))


def _measure(
    connection: Connection, model: Model, night: date, alerts: int, sample: Sample, reference: Reference
) -> bool:
    """Compare a night; return False if it was dropped since its alerts were counted."""
    latents = _latents(connection, model, night)
    if len(latents) < FEWEST:
        return False
    kept = sample.latents[:: max(1, len(sample.latents) // NIGHTLY)]
    found = compare(latents, kept)
    connection.execute(
        "INSERT INTO fulgor.night_drift (stream, model_id, night, alerts, sampled, reference, distance, level, p_value,"
        " beyond) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (stream, model_id, night) DO UPDATE SET"
        " alerts = excluded.alerts, sampled = excluded.sampled, reference = excluded.reference,"
        " distance = excluded.distance, level = excluded.level, p_value = excluded.p_value, beyond = excluded.beyond,"
        " computed_at = now()",
        [model.stream, model.model_id, night, alerts, len(latents), len(kept), found.distance, found.level,
         found.p_value, _beyond(connection, model, night, sample.threshold(reference))],
    )  # fmt: skip
    return True


def _latents(connection: Connection, model: Model, night: date) -> NDArray[np.float32]:
    rows = connection.execute(
        "SELECT latent FROM fulgor.latent WHERE stream = %s AND model_id = %s AND time >= %s AND time < %s"
        " AND latent IS NOT NULL ORDER BY md5(alert), alert LIMIT %s",
        [model.stream, model.model_id, *_bounds(night), NIGHTLY],
    ).fetchall()
    return np.array([latent.to_numpy() for (latent,) in rows], dtype=np.float32)  # type: ignore[attr-defined]


def _beyond(connection: Connection, model: Model, night: date, threshold: float | None) -> float | None:
    if threshold is None:
        return None
    row = connection.execute(
        "SELECT avg((anomaly > %s)::int)::float8 FROM fulgor.latent WHERE stream = %s AND model_id = %s"
        " AND time >= %s AND time < %s AND anomaly IS NOT NULL",
        [threshold, model.stream, model.model_id, *_bounds(night)],
    ).fetchone()
    return row[0] if row is not None and isinstance(row[0], float) else None


def _bounds(night: date) -> tuple[datetime, datetime]:
    first = datetime.combine(night, time(), UTC)
    return first, first + timedelta(days=1)
