"""A sample of stored scores: what a reference is refitted to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import FulgorError
from fulgor.storage.database import Connection
from fulgor.storage.registry import Model

__all__ = ["ScoreSample", "score_sample"]

LARGEST = 100_000
"""Alerts that a reference is fitted to at most."""


@dataclass(frozen=True, slots=True)
class ScoreSample:
    """Stored scores of one model.

    Parameters
    ----------
    scores : ndarray
        float64 (N, scores), NaN where a score is NULL.
    source : str
        What alerts these are.
    """

    scores: NDArray[np.float64]
    source: str


def score_sample(
    connection: Connection, model: Model, *, since: datetime | None, until: datetime | None
) -> ScoreSample:
    """Return the scores of one alert of each object in a stretch of time, or of a part of the objects.

    One alert an object, chosen like the part of the objects by a hash: those that vary night after
    night would else be the reference.

    Parameters
    ----------
    connection : Connection
        To the database.
    model : Model
        Whose scores.
    since, until : datetime, optional
        Alerts of ``since <= time < until``.

    Raises
    ------
    FulgorError
        There are none.
    """
    rows = connection.execute(
        "SELECT scores, time FROM (SELECT DISTINCT ON (object) object, scores, time FROM fulgor.latent"
        " WHERE stream = %s AND model_id = %s AND scores IS NOT NULL AND time >= %s AND time < %s"
        " ORDER BY object, md5(alert)) one ORDER BY md5(object) LIMIT %s",
        [
            model.stream,
            model.model_id,
            since or datetime.min.replace(tzinfo=UTC),
            until or datetime.max.replace(tzinfo=UTC),
            LARGEST,
        ],
    ).fetchall()
    if not rows:
        raise FulgorError(f"stream '{model.stream}' has no alert of that time scored by model {model.name}")
    scores = np.array([[np.nan if value is None else value for value in _values(row[0])] for row in rows])
    times = [row[1] for row in rows]
    first, last = (str(edge)[:10] for edge in (min(times), max(times)))  # type: ignore[type-var]
    return ScoreSample(scores, f"{len(rows)} objects of stream {model.stream} from {first} to {last}")


def _values(scores: object) -> list[float | None]:
    assert isinstance(scores, list)  # noqa: S101 - an array of Postgres
    return scores
