"""Nearest-neighbour indexes on partitions that are no longer written.

An HNSW index makes COPY into its table some hundred times slower (measured), so a night gets one
only when it is over: large enough that an exact scan would be felt, and quiet for a while.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import errors, sql

from fulgor.storage.database import Connection

__all__ = ["Wanted", "build", "wanted"]

LARGE = 20_000
"""Rows below which an exact scan takes a few milliseconds and needs no index."""

QUIET_S = 1800
"""Seconds without a new row after which a partition counts as closed."""

_PARTITIONS = """
SELECT relname FROM pg_partition_tree('fulgor.latent')
JOIN pg_class ON pg_class.oid = relid WHERE isleaf AND reltuples <> 0 ORDER BY relname
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A partition and a model whose latents deserve an index."""

    partition: str
    model_id: int
    rows: int

    @property
    def name(self) -> str:
        """The index's name."""
        return f"{self.partition}_hnsw_{self.model_id}"


def wanted(connection: Connection, *, large: int = LARGE, quiet_s: float = QUIET_S) -> Iterator[Wanted]:
    """Find closed partitions without a valid index for each of their models."""
    for (partition,) in connection.execute(_PARTITIONS).fetchall():
        try:
            rows = connection.execute(
                sql.SQL(
                    "SELECT model_id, count(latent) FROM {} GROUP BY model_id"
                    " HAVING count(latent) >= %s AND max(stored_at) < now() - make_interval(secs => %s)"
                ).format(sql.Identifier("fulgor", str(partition))),
                [large, quiet_s],
            ).fetchall()
        except errors.UndefinedTable:  # the night was dropped since the partitions were listed
            continue
        for model_id, count in rows:
            found = Wanted(str(partition), int(str(model_id)), int(str(count)))
            if not _is_valid(connection, found):
                yield found


def build(connection: Connection, what: Wanted) -> bool:
    """Build an index without stopping readers or writers; a broken one of an earlier try is dropped first.

    Returns
    -------
    bool
        False if the night was dropped since it was found.
    """
    index = sql.Identifier("fulgor", what.name)
    connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(index))
    statement = sql.SQL(
        "CREATE INDEX CONCURRENTLY {} ON {} USING hnsw ((latent::halfvec(64)) halfvec_cosine_ops) WHERE model_id = {}"
    ).format(sql.Identifier(what.name), sql.Identifier("fulgor", what.partition), sql.Literal(what.model_id))
    try:
        connection.execute(statement)
    except errors.UndefinedTable:
        return False
    return True


def _is_valid(connection: Connection, what: Wanted) -> bool:
    row = connection.execute(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [f"fulgor.{what.name}"]
    ).fetchone()
    return bool(row and row[0])
