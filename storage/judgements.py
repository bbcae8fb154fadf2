"""What people judged to be interesting, and the rows that those judgements re-rank."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.rows import class_row

from fulgor.errors import FulgorError, SettingsError
from fulgor.storage.database import Connection
from fulgor.storage.registry import Model
from fulgor.storage.results import SCORES_AND_LATENT, ScoredAlert, fetch, shared

__all__ = ["Judged", "Judgement", "add_judgement", "candidates", "judged_latents", "judgements"]

LARGEST_NIGHT = 100_000
"""Alerts that are re-ranked at most, the strangest of them: a forest needs no more."""

LONGEST = 2000
"""Characters of a note or a name."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether somebody found an alert interesting.

    Parameters
    ----------
    stream, alert, object : str
        What was judged.
    interesting : bool
        The answer.
    judged_by : str
        Who said so.
    judged_at : datetime
        UTC.
    note : str or None
        Why.
    """

    stream: str
    alert: str
    object: str
    interesting: bool
    judged_by: str
    judged_at: datetime
    note: str | None


@dataclass(frozen=True, slots=True)
class Judged:
    """Judged alerts as one model sees them: latents (N, D), and whether each was found interesting (N,)."""

    latents: NDArray[np.float32]
    interesting: NDArray[np.bool_]


def add_judgement(
    connection: Connection, stream: str, alert: str, *, interesting: bool, by: str, note: str | None = None
) -> Judgement:
    """Store a judgement; an earlier one of the same alert stays in the table but counts no more.

    Parameters
    ----------
    connection : Connection
        To the database.
    stream, alert : str
        What is judged.
    interesting : bool
        The answer.
    by : str
        Who says so.
    note : str, optional
        Why.

    Raises
    ------
    FulgorError
        The stream has no such alert.
    SettingsError
        The name is empty, or name or note absurdly long.
    """
    if not by.strip() or len(by) > LONGEST or len(note or "") > LONGEST:
        raise SettingsError(f"a judgement needs the name of who judges; name and note have at most {LONGEST} letters")
    with connection.cursor(row_factory=class_row(Judgement)) as cursor:
        found = cursor.execute(
            "INSERT INTO fulgor.judgement (stream, alert, object, interesting, judged_by, note)"
            " SELECT stream, alert, object, %(interesting)s, %(by)s, %(note)s FROM fulgor.latent"
            " WHERE stream = %(stream)s AND alert = %(alert)s ORDER BY time DESC LIMIT 1"
            " RETURNING stream, alert, object, interesting, judged_by, judged_at, note",
            {"stream": stream, "alert": alert, "interesting": interesting, "by": by.strip(), "note": note},
        ).fetchone()
    if found is None:
        raise FulgorError(f"stream '{stream}' has no alert '{alert}': 'fulgor latents anomalies' shows those there are")
    return found


def judgements(connection: Connection, stream: str, *, limit: int = 1000) -> list[Judgement]:
    """Return the latest judgement of each alert, the newest first."""
    with connection.cursor(row_factory=class_row(Judgement)) as cursor:
        return cursor.execute(
            "SELECT stream, alert, object, interesting, judged_by, judged_at, note FROM fulgor.judgements"
            " WHERE stream = %s ORDER BY judged_at DESC LIMIT %s",
            [stream, limit],
        ).fetchall()


def judged_latents(connection: Connection, model: Model) -> Judged:
    """Return all alerts that were judged and have a latent of this model, whatever their night."""
    rows = connection.execute(
        "SELECT DISTINCT ON (l.alert) l.latent, j.interesting FROM fulgor.judgements j"
        " JOIN fulgor.latent l ON l.stream = j.stream AND l.alert = j.alert"
        " WHERE j.stream = %s AND l.model_id = %s AND l.latent IS NOT NULL ORDER BY l.alert, l.time DESC",
        [model.stream, model.model_id],
    ).fetchall()
    return Judged(_stacked([row[0] for row in rows]), np.array([bool(row[1]) for row in rows], dtype=bool))


def candidates(
    connection: Connection, model: Model, *, since: datetime | None, until: datetime | None
) -> tuple[list[ScoredAlert], NDArray[np.float32]]:
    """Return the scored alerts of a stretch of time that nobody has judged, the strangest first, and their latents.

    Parameters
    ----------
    connection : Connection
        To the database.
    model : Model
        Whose scores and latents.
    since, until : datetime, optional
        Alerts of ``since <= time < until``.

    Returns
    -------
    alerts : list of ScoredAlert
        At most :data:`LARGEST_NIGHT`.
    latents : ndarray
        float32 (N, D).
    """
    query = sql.SQL(
        "SELECT {columns} FROM fulgor.latent l"
        " WHERE l.stream = %(stream)s AND l.model_id = %(model)s AND l.anomaly IS NOT NULL AND l.latent IS NOT NULL"
        " AND l.time >= %(since)s AND l.time < %(until)s AND NOT EXISTS"
        " (SELECT 1 FROM fulgor.judgement j WHERE j.stream = l.stream AND j.alert = l.alert)"
        " ORDER BY l.anomaly DESC, l.alert LIMIT %(limit)s"
    ).format(columns=SCORES_AND_LATENT)
    parameters = {
        "since": since or datetime.min.replace(tzinfo=UTC),
        "until": until or datetime.max.replace(tzinfo=UTC),
        "limit": LARGEST_NIGHT,
    }
    rows = fetch(connection, query, model, parameters)
    latents = _stacked([row["latent"] for row in rows])
    return [ScoredAlert(**shared(row | {"latent": None}, model)) for row in rows], latents


def _stacked(vectors: list[object]) -> NDArray[np.float32]:
    """Return pgvector's vectors as (N, D)."""
    return np.array([vector.to_numpy() for vector in vectors], dtype=np.float32)  # type: ignore[attr-defined]
