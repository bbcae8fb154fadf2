"""The tables and the typed views of one stream, composed from its description."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from fulgor.storage.database import Connection
from fulgor.storage.partitions import EARLIEST, LATEST
from fulgor.storage.tables import Column, StreamTable

__all__ = ["SHARED_COLUMNS", "alert_table", "create_stream_tables"]

# What every stream's own table has beside the stream's columns, in the order of COPY.
SHARED_COLUMNS: tuple[tuple[str, str], ...] = (
    ("alert", "text"),
    ("time", "timestamptz"),
    ("time_ns", "int8"),
    ("object", "text"),
    ("content_hash", "bytea"),
    ("feed_id", "int4"),
    ("segment", "int4"),
    ("offset", "int8"),
    ("record", "int4"),
    ("item", "int4"),
)
_NULLABLE = {"time_ns"}


def alert_table(table: StreamTable) -> sql.Identifier:
    """Return the qualified name of a stream's own table."""
    return sql.Identifier("fulgor", f"{table.stream}_alert")


def create_stream_tables(connection: Connection, table: StreamTable, partition_by: str) -> None:
    """Create a stream's own table, its branch of ``latent``, the partitions of impossible times and the typed views."""
    connection.execute(
        "INSERT INTO fulgor.stream (name, row_name, partition_by) VALUES (%s, %s, %s) ON CONFLICT (name) DO NOTHING",
        [table.stream, table.rows, partition_by],
    )
    _create_own_table(connection, table)
    _create_latent_branch(connection, table)
    if table.items is None:
        _create_view(connection, table, table.rows, table.columns, sql.SQL(""))
        return
    for name, left_out, where in ((table.rows, "items", "a.item = 0"), (table.items, "rows", "a.item > 0")):
        columns = [column for column in table.columns if column.of != left_out]
        _create_view(connection, table, name, columns, sql.SQL(" WHERE " + where))


def _create_own_table(connection: Connection, table: StreamTable) -> None:
    shared = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(name),
            sql.SQL(kind),
            sql.SQL("" if name in _NULLABLE else " NOT NULL"),
        )
        for name, kind in SHARED_COLUMNS
    ]
    own = [sql.SQL("{} {}").format(sql.Identifier(c.name), sql.SQL(c.type)) for c in table.columns]
    name = alert_table(table)
    connection.execute(
        sql.SQL(
            "CREATE TABLE {} ({}, stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),"
            " PRIMARY KEY (alert, time)) PARTITION BY RANGE (time)"
        ).format(name, sql.SQL(", ").join([*shared, *own]))
    )
    for column in table.columns:
        connection.execute(
            sql.SQL("COMMENT ON COLUMN {} IS {}").format(
                sql.Identifier("fulgor", f"{table.stream}_alert", column.name), sql.Literal(column.comment)
            )
        )
    _create_edge_partitions(connection, f"{table.stream}_alert")
    connection.execute(sql.SQL("CREATE INDEX ON {} (object, time)").format(name))
    if any(column.name == "healpix" for column in table.columns):
        connection.execute(sql.SQL("CREATE INDEX ON {} (healpix)").format(name))


def _create_latent_branch(connection: Connection, table: StreamTable) -> None:
    branch = sql.Identifier("fulgor", f"latent_{table.stream}")
    connection.execute(
        sql.SQL("CREATE TABLE {} PARTITION OF fulgor.latent FOR VALUES IN ({}) PARTITION BY RANGE (time)").format(
            branch, sql.Literal(table.stream)
        )
    )
    _create_edge_partitions(connection, f"latent_{table.stream}")


def _create_edge_partitions(connection: Connection, parent: str) -> None:
    for name, first, after in (
        ("early", sql.SQL("MINVALUE"), sql.Literal(EARLIEST)),
        ("late", sql.Literal(LATEST), sql.SQL("MAXVALUE")),
    ):
        connection.execute(
            sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
                sql.Identifier("fulgor", f"{parent}_{name}"), sql.Identifier("fulgor", parent), first, after
            )
        )


def _create_view(
    connection: Connection, table: StreamTable, name: str, columns: Sequence[Column], where: sql.SQL
) -> None:
    own = sql.SQL(", ").join(sql.Identifier("a", column.name) for column in columns)
    view = sql.Identifier("fulgor", f"{table.stream}_{name}")
    connection.execute(
        sql.SQL(
            "CREATE VIEW {} AS SELECT a.alert, a.object, a.time, a.time_ns, {}, m.name AS model, l.class,"
            " l.probabilities, m.classes, l.scores, m.scores AS score_names, l.anomaly, l.latent, l.unscorable,"
            " l.flags, l.appended_at, l.stored_at"
            " FROM {} a LEFT JOIN (fulgor.latent l"
            " JOIN fulgor.model m ON m.model_id = l.model_id AND m.status = 'live')"
            " ON l.stream = {} AND l.alert = a.alert AND l.time = a.time{}"
        ).format(view, own, alert_table(table), sql.Literal(table.stream), where)
    )
