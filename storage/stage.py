"""Results on their way in: COPY into a temporary table, then one insert each into the real ones."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from fulgor.storage.database import Connection
from fulgor.storage.rows import Coordinates, DeadLetter, Result
from fulgor.storage.streamtables import SHARED_COLUMNS, alert_table
from fulgor.storage.tables import StreamTable

__all__ = ["Stage"]

# Columns of ``latent`` that are not already among the shared ones.
_RESULT_COLUMNS: tuple[tuple[str, str], ...] = (
    ("model_id", "int4"),
    ("records", "int4"),
    ("items", "int4"),
    ("flags", "int8"),
    ("latent", "vector"),
    ("stamp_latent", "vector"),
    ("probabilities", "float4[]"),
    ("class", "text"),
    ("scores", "float4[]"),
    ("anomaly", "float4"),
    ("reference", "text"),
    ("unscorable", "text"),
    ("appended_at", "timestamptz"),
    ("history_times", "timestamptz[]"),
    ("history", "text[]"),
)
# The client would cut a number down to a narrow type without a word; the server refuses it on the way out of the stage.
_WIDE = {"int2": "int8", "int4": "int8", "float4": "float8"}
_COORDINATES = ("feed_id", "segment", "offset", "record", "item")
_LATENT_COLUMNS: tuple[tuple[str, str], ...] = (
    *(column for column in SHARED_COLUMNS if column[0] not in {"time_ns", "content_hash"}),
    *_RESULT_COLUMNS,
)

# New rows with a history leave a line for the job that compares them with the rows around them.
_ARRIVED = sql.SQL("model_id, object, time, history_times")
_TOLD = sql.SQL(
    "told AS (INSERT INTO fulgor.arrival (stream, model_id, object, time)"
    " SELECT %(stream)s, model_id, object, time FROM fresh WHERE history_times IS NOT NULL)"
)


class Stage:
    """A temporary table of results that empties itself at each commit.

    Parameters
    ----------
    connection : Connection
        The writer's.
    table : StreamTable
        The stream's own table.
    """

    def __init__(self, connection: Connection, table: StreamTable) -> None:
        self._connection = connection
        self._stream = table.stream
        own = [(column.name, _WIDE.get(column.type, column.type)) for column in table.columns]
        columns = [("ordinal", "int4"), *SHARED_COLUMNS, *own, *_RESULT_COLUMNS]
        self._types = [kind for _, kind in columns]
        self._name = sql.Identifier(f"stage_{table.stream}")
        self._copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(self._name, _names(columns))
        self._create(columns)
        # A plan made while a partition was empty would go on scanning it when it holds a million rows.
        connection.execute("SET enable_seqscan = off")
        self._insert_alerts = self._alerts_statement(table, [*SHARED_COLUMNS, *own])
        self._find_variants = self._variants_statement(table)
        self._insert_latents = self._latents_statement()
        self._insert_shadows = self._shadows_statement(table)
        self._drop = sql.SQL("DELETE FROM {} WHERE ordinal = ANY(%s)").format(self._name)
        self._clear = sql.SQL("DELETE FROM {}").format(self._name)

    def store(self, results: Sequence[Result]) -> tuple[int, int, list[DeadLetter]]:
        """Store results within the open transaction.

        Returns
        -------
        stored, duplicates : int
            Items that are new, and items that are known with the same content.
        variants : list of DeadLetter
            Items whose id is known with other content.
        """
        self._connection.execute(self._clear)
        self._copy_rows(results)
        fresh = self._connection.execute(self._insert_alerts).rowcount
        variants = [] if fresh == len(results) else self._take_variants(results)
        row = self._connection.execute(self._insert_latents, {"stream": self._stream}).fetchone()
        assert row is not None  # noqa: S101 - an aggregate always gives a row
        return int(str(row[0])), int(str(row[1])), variants

    def store_shadows(self, results: Sequence[Result]) -> None:
        """Store rows of other models beside those of alerts that are stored with this content."""
        self._connection.execute(self._clear)
        self._copy_rows(results)
        self._connection.execute(self._insert_shadows, {"stream": self._stream})

    def _create(self, columns: Sequence[tuple[str, str]]) -> None:
        defined = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in columns
        )
        self._connection.execute(
            sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} ({}) ON COMMIT DELETE ROWS").format(self._name, defined)
        )

    def _copy_rows(self, results: Sequence[Result]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(self._copy) as copy:
            copy.set_types(self._types)
            for ordinal, row in enumerate(results):
                try:
                    copy.write_row(_values(ordinal, row))
                except (OverflowError, TypeError, ValueError) as error:
                    raise psycopg.DataError(f"a value does not fit its column: {error}") from error

    def _take_variants(self, results: Sequence[Result]) -> list[DeadLetter]:
        found = {
            int(str(ordinal)): known for ordinal, known in self._connection.execute(self._find_variants).fetchall()
        }
        if found:
            self._connection.execute(self._drop, [list(found)])
        return [_variant(results[ordinal], known) for ordinal, known in found.items()]

    # Inserted in the order of the key, so that two writers with alerts in common wait for each other in one order.
    def _alerts_statement(self, table: StreamTable, columns: Sequence[tuple[str, str]]) -> sql.Composed:
        return sql.SQL(
            "INSERT INTO {} ({}) SELECT {} FROM {} ORDER BY alert, time, ordinal ON CONFLICT DO NOTHING"
        ).format(alert_table(table), _names(columns), _names(columns), self._name)

    # OFFSET 0 keeps the look-up a look-up: joined as a whole, it becomes a scan of every partition.
    def _variants_statement(self, table: StreamTable) -> sql.Composed:
        return sql.SQL(
            "SELECT s.ordinal, encode(known.content_hash, 'hex') FROM {} s CROSS JOIN LATERAL"
            " (SELECT a.content_hash FROM {} a WHERE a.alert = s.alert AND a.time = s.time OFFSET 0) known"
            " WHERE known.content_hash <> s.content_hash ORDER BY s.ordinal"
        ).format(self._name, alert_table(table))

    def _latents_statement(self) -> sql.Composed:
        columns = _names(_LATENT_COLUMNS)
        counted = _names([(name, "") for name in (*_COORDINATES, "records", "items")])
        return sql.SQL(
            "WITH fresh AS (INSERT INTO fulgor.latent (stream, {columns})"
            " SELECT %(stream)s, {columns} FROM {stage} ORDER BY alert, time, ordinal ON CONFLICT DO NOTHING"
            " RETURNING {key}, {arrived}),"
            " known AS (INSERT INTO fulgor.duplicate ({counted}, alert)"
            " SELECT {counted}, alert FROM {stage} s WHERE NOT EXISTS (SELECT 1 FROM fresh f"
            ' WHERE (f.feed_id, f.segment, f."offset", f.record, f.item)'
            ' = (s.feed_id, s.segment, s."offset", s.record, s.item))'
            " ON CONFLICT DO NOTHING RETURNING 1), {told}"
            " SELECT (SELECT count(*) FROM fresh), (SELECT count(*) FROM known)"
        ).format(
            columns=columns, stage=self._name, key=_names([(name, "") for name in _COORDINATES]), counted=counted,
            arrived=_ARRIVED, told=_TOLD,
        )  # fmt: skip

    def _shadows_statement(self, table: StreamTable) -> sql.Composed:
        return sql.SQL(
            "WITH fresh AS (INSERT INTO fulgor.latent (stream, shadow, {columns})"
            " SELECT %(stream)s, true, {staged} FROM {stage} s"
            " CROSS JOIN LATERAL (SELECT a.content_hash FROM {own} a WHERE a.alert = s.alert AND a.time = s.time"
            " OFFSET 0) known WHERE known.content_hash = s.content_hash ORDER BY s.alert, s.time, s.ordinal"
            " ON CONFLICT DO NOTHING RETURNING {arrived}), {told} SELECT 1"
        ).format(
            arrived=_ARRIVED,
            told=_TOLD,
            columns=_names(_LATENT_COLUMNS),
            staged=sql.SQL(", ").join(sql.Identifier("s", name) for name, _ in _LATENT_COLUMNS),
            stage=self._name,
            own=alert_table(table),
        )


def _names(columns: Sequence[tuple[str, str]]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns)


def _values(ordinal: int, row: Result) -> tuple[object, ...]:
    at: Coordinates = row.at
    return (
        ordinal, row.alert, row.time, row.time_ns, row.object, row.content_hash,
        at.feed_id, at.segment, at.offset, at.record, at.item, *row.columns,
        row.model_id, at.records, at.items, row.flags, row.latent, row.stamp_latent, row.probabilities,
        row.class_name, row.scores, row.anomaly, row.reference, row.unscorable, row.appended_at,
        *(map(list, row.history) if row.history is not None else (None, None)),
    )  # fmt: skip


def _variant(row: Result, known: object) -> DeadLetter:
    reason = f"alert {row.alert} is stored with other content (hash {known}, this one {row.content_hash.hex()})"
    return DeadLetter(row.at, "store", "variant", reason)
