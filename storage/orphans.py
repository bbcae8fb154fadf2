"""Rows whose offsets add up and that are wrong all the same: parts of them are missing, or they are there twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from fulgor.storage.audit import Finding
from fulgor.storage.database import Connection

__all__ = ["find_orphans", "find_warnings"]

_STORED = sql.SQL(
    """
SELECT f.group_name, f.topic, f.partition, l.segment, l."offset", l.alert, l.model_id
FROM fulgor.latent l JOIN fulgor.feed f USING (feed_id)
WHERE l.stream = %(stream)s AND (%(group)s::text IS NULL OR f.group_name = %(group)s)
"""
)
_MODELLESS = sql.SQL("AND l.model_id NOT IN (SELECT model_id FROM fulgor.model)")
_ROWLESS = sql.SQL("AND NOT EXISTS (SELECT 1 FROM {table} a WHERE a.alert = l.alert AND a.time = l.time)")
# A night's rows go together, so that nothing of it is left alone.
_ALONE = sql.SQL(
    "AND l.shadow AND NOT EXISTS (SELECT 1 FROM fulgor.latent o WHERE o.stream = l.stream AND o.alert = l.alert"
    " AND o.time = l.time AND NOT o.shadow)"
)
_IN_ORDER = sql.SQL(
    ' ORDER BY f.group_name, f.cluster, f.topic, f.topic_id, f.partition, l.segment, l."offset" LIMIT %(limit)s'
)


def find_orphans(connection: Connection, stream: str | None, group: str | None, limit: int) -> list[Finding]:
    """Return stored rows whose model, row in the stream's own table or, for a shadow's, accounting row is missing."""
    names = connection.execute(
        "SELECT name FROM fulgor.stream WHERE %(stream)s::text IS NULL OR name = %(stream)s ORDER BY name",
        {"stream": stream},
    ).fetchall()
    findings: list[Finding] = []
    for (name,) in names:
        rowless = _ROWLESS.format(table=sql.Identifier("fulgor", f"{name}_alert"))
        parameters = {"stream": name, "group": group, "limit": limit}
        found = connection.execute(_STORED + _MODELLESS + _IN_ORDER, parameters).fetchall()
        findings += [
            _finding(row, "no model", "alert {} is stored for model {}, which does not exist") for row in found
        ]
        found = connection.execute(_STORED + rowless + _IN_ORDER, parameters).fetchall()
        findings += [
            _finding(row, "no alert row", "alert {} has a latent but no row in the stream's own table") for row in found
        ]
        found = connection.execute(_STORED + _ALONE + _IN_ORDER, parameters).fetchall()
        findings += [
            _finding(row, "shadow alone", "alert {} has a row of shadow model {} and none that accounts for it")
            for row in found
        ]
    return findings[:limit]


def find_warnings(connection: Connection, stream: str | None, limit: int) -> list[str]:
    """Return what adds up and is odd all the same: alerts that are stored under several times."""
    rows = connection.execute(
        "SELECT l.stream, l.alert, m.name, min(l.time), max(l.time), count(*)"
        " FROM fulgor.latent l JOIN fulgor.model m USING (model_id)"
        " WHERE %(stream)s::text IS NULL OR l.stream = %(stream)s"
        " GROUP BY l.stream, l.alert, m.model_id HAVING count(*) > 1 ORDER BY 1, 2, 3 LIMIT %(limit)s",
        {"stream": stream, "limit": limit},
    ).fetchall()
    return [
        f"{name} alert {alert} is stored under {count} times ({first} to {last}) for model {model}"
        for name, alert, model, first, last, count in rows
    ]


def _finding(row: Sequence[Any], kind: str, detail: str) -> Finding:
    group, topic, partition, segment, offset, *named = row
    return Finding(group, topic, partition, segment, offset, kind, detail.format(*named))
