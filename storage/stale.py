"""Rows of models that are no longer live, and alerts that the live one has not scored."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import class_row

from fulgor.storage.database import Connection
from fulgor.storage.registry import Model

__all__ = ["ModelRows", "count_rows", "count_unscored"]


@dataclass(frozen=True, slots=True)
class ModelRows:
    """How many rows a model has, and how many of them nothing newer stands beside.

    Parameters
    ----------
    stream : str
        Whose.
    model_id : int
        The model's key.
    name, hash, status : str
        The model's.
    reason : {'model', 'preparation'} or None
        What is no longer live of it; None for the live model.
    rows : int
        All its rows.
    stale : int
        Those of alerts that the live model has not scored; 0 for the live model itself.
    """

    stream: str
    model_id: int
    name: str
    hash: str
    status: str
    reason: str | None
    rows: int
    stale: int


def count_rows(connection: Connection, stream: str | None = None) -> list[ModelRows]:
    """Return the rows of every model, in the order of registration."""
    with connection.cursor(row_factory=class_row(ModelRows)) as cursor:
        return cursor.execute(
            "WITH counted AS (SELECT model_id, count(*) AS rows FROM fulgor.latent"
            " WHERE %(stream)s::text IS NULL OR stream = %(stream)s GROUP BY model_id),"
            " left_over AS (SELECT model_id, count(*) AS rows FROM fulgor.stale"
            " WHERE %(stream)s::text IS NULL OR stream = %(stream)s GROUP BY model_id)"
            " SELECT m.stream, m.model_id, m.name, m.hash, m.status,"
            " CASE WHEN m.status = 'live' THEN NULL WHEN m.preprocessing_hash = v.preprocessing_hash THEN 'model'"
            " ELSE 'preparation' END AS reason, coalesce(c.rows, 0) AS rows, coalesce(s.rows, 0) AS stale"
            " FROM fulgor.model m LEFT JOIN fulgor.model v ON v.stream = m.stream AND v.status = 'live'"
            " LEFT JOIN counted c ON c.model_id = m.model_id LEFT JOIN left_over s ON s.model_id = m.model_id"
            " WHERE %(stream)s::text IS NULL OR m.stream = %(stream)s ORDER BY m.model_id",
            {"stream": stream},
        ).fetchall()


def count_unscored(connection: Connection, model: Model) -> int:
    """Return how many stored alerts of its stream have no row of this model."""
    row = connection.execute(
        sql.SQL(
            "SELECT count(*) FROM {} a WHERE NOT EXISTS (SELECT 1 FROM fulgor.latent l WHERE l.stream = %s"
            " AND l.alert = a.alert AND l.time = a.time AND l.model_id = %s)"
        ).format(sql.Identifier("fulgor", f"{model.stream}_alert")),
        [model.stream, model.model_id],
    ).fetchone()
    return int(str(row[0])) if row else 0
