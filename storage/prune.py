"""Old nights dropped whole, after the account of their rows was sealed.

What is left of a night are the stretches of offsets that its rows accounted for, with counts: the
ledger closes on them. A message that has another part elsewhere (a record of another night, a dead
letter) leaves a narrow row for each of its dropped items. The duplicates of dropped alerts and the
empty messages between them go with the night; dead letters and skipped ranges stay.

Counting takes as long as reading the night once, and stops nobody but those who write into it;
dropping then takes moments, whatever the number of rows.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import LiteralString

from psycopg import errors, sql

from fulgor.errors import DatabaseError, FulgorError, SettingsError
from fulgor.storage.database import Connection
from fulgor.storage.partitions import bounds, tables_there

__all__ = ["Night", "find_nights", "prune"]

_LOCK = 0x46554C51
# Shorter than Postgres's deadlock_timeout (1 s): whoever writes into the night holds what the drop needs and waits
# for what the count holds. It is we who give way, never a consumer.
_LOCK_WAIT = "500ms"
_TRIES = 40
_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Night:
    """A partition of a stream, with what it holds; or held, once it is dropped.

    Parameters
    ----------
    stream : str
        Whose.
    first, after : date
        The first day, UTC, and the day behind the last.
    rows : int
        Rows in ``latent``: alerts times models.
    bytes : int
        On disk, indexes included.
    last_stored : datetime or None
        When the latest row came; None if there is none.
    """

    stream: str
    first: date
    after: date
    rows: int
    bytes: int
    last_stored: datetime | None

    def __str__(self) -> str:
        return f"{self.stream} {self.first}"


def find_nights(connection: Connection, before: date, *, stream: str | None = None) -> list[Night]:
    """Return the partitions that end before or with the beginning of a day, the oldest first.

    Parameters
    ----------
    connection : Connection
        To the database.
    before : date
        The first day to keep, UTC. A partition by month goes when all of it lies before.
    stream : str, optional
        Only this instrument's.

    Raises
    ------
    SettingsError
        There is no such stream here, or the day to keep lies ahead.
    """
    if before > datetime.now(UTC).date():
        raise SettingsError(f"before {before}: nights that are not over cannot be dropped; give a day up to today, UTC")
    rows = connection.execute("SELECT name, partition_by FROM fulgor.stream ORDER BY name").fetchall()
    widths = {str(name): str(width) for name, width in rows}
    if stream is not None and stream not in widths:
        raise SettingsError(f"stream {stream!r}: this database has {', '.join(widths) or 'none'}")
    chosen = widths if stream is None else {stream: widths[stream]}
    return [night for name, width in chosen.items() for night in _nights_of(connection, name, width, before)]


def prune(connection: Connection, night: Night, *, idle: timedelta) -> Night:
    """Seal a night's account and drop its partitions, in one transaction.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    night : Night
        As :func:`find_nights` gave it.
    idle : timedelta
        The night must not have got a row for so long.

    Returns
    -------
    Night
        What was dropped, as it was counted under the lock.

    Raises
    ------
    FulgorError
        The night is still being written.
    DatabaseError
        Somebody reads or writes it all the time.
    """
    for _ in range(_TRIES):
        try:
            return _prune(connection, night, idle)
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            time.sleep(_PAUSE_S)
    raise DatabaseError(
        f"{night}: other sessions keep its tables locked (tried for {_TRIES * _PAUSE_S:.0f} s or more);"
        " pg_stat_activity names them: try again when a long query or a backfill is over"
    )


def _nights_of(connection: Connection, stream: str, width: str, before: date) -> list[Night]:
    names = connection.execute(
        "SELECT DISTINCT substring(c.relname FROM '[0-9]+$') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = ANY(%s::regclass[]) AND c.relname ~ '_[0-9]+$'",
        [[f"fulgor.{parent}" for parent in _parents(stream)]],
    ).fetchall()
    nights = []
    for suffix in sorted(str(name) for (name,) in names):
        span = _span(suffix, width)
        if span is not None and span[1] <= before:
            with suppress(errors.UndefinedTable):  # somebody else has just dropped it
                nights.append(_counted(connection, stream, *span))
    return nights


def _span(suffix: str, width: str) -> tuple[date, date] | None:
    form = "%Y%m%d" if width == "day" else "%Y%m"
    if not re.fullmatch(r"\d{8}" if width == "day" else r"\d{6}", suffix):
        return None
    return bounds(datetime.strptime(suffix, form).replace(tzinfo=UTC), width)


def _parents(stream: str) -> tuple[str, str]:
    return f"latent_{stream}", f"{stream}_alert"


def _children(connection: Connection, night: Night) -> list[str]:
    """Return the night's tables, those of ``latent`` first; one is missing where a writer died between the two."""
    suffixes = (f"{night.first:%Y%m%d}", f"{night.first:%Y%m}")
    wide = (night.after - night.first).days > 1
    names = [f"{parent}_{suffixes[wide]}" for parent in _parents(night.stream)]
    there = tables_there(connection, names)
    return [name for name in names if name in there]


def _counted(connection: Connection, stream: str, first: date, after: date) -> Night:
    night = Night(stream, first, after, 0, 0, None)
    rows, size, last = 0, 0, None
    for name in _children(connection, night):
        table = sql.Identifier("fulgor", name)
        row = connection.execute(
            sql.SQL("SELECT count(*), max(stored_at), pg_total_relation_size({}) FROM {}").format(
                sql.Literal(f"fulgor.{name}"), table
            )
        ).fetchone()
        assert row is not None  # noqa: S101 - an aggregate always gives a row
        size += int(str(row[2]))
        if name.startswith("latent_"):
            rows = int(str(row[0]))
        if isinstance(row[1], datetime):
            last = max(last or row[1], row[1])
    return Night(stream, first, after, rows, size, last)


def _prune(connection: Connection, night: Night, idle: timedelta) -> Night:
    with connection.transaction():
        connection.execute("SELECT set_config('lock_timeout', %s, true)", [_LOCK_WAIT])
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        tables = _children(connection, night)
        for name in tables:  # from here on nobody writes into the night
            connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(sql.Identifier("fulgor", name)))
        found = _counted(connection, night.stream, night.first, night.after)
        _check_quiet(found, idle)
        for name in tables:
            if name.startswith("latent_"):
                _seal(connection, found, name)
        if tables:
            _lock_for_the_drop(connection, night, tables)
        for name in tables:
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier("fulgor", name)))
    return found


def _lock_for_the_drop(connection: Connection, night: Night, tables: Sequence[str]) -> None:
    """Lock all that a drop locks, in the order in which writers lock it; give way to those who wait for us already.

    Who has waited since the count may find the deadlock before our own wait ends, and would be the one to go.
    """
    waiting = connection.execute(
        "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = ANY(%s::regclass[])"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [[f"fulgor.{name}" for name in tables]],
    ).fetchone()
    if waiting:
        raise errors.LockNotAvailable(f"{night}: somebody waits for it")
    latents, own = _parents(night.stream)
    connection.execute(
        sql.SQL("LOCK TABLE ONLY {}, ONLY {} IN ACCESS EXCLUSIVE MODE").format(
            sql.Identifier("fulgor", own), sql.Identifier("fulgor", latents)
        )
    )


def _check_quiet(night: Night, idle: timedelta) -> None:
    if night.last_stored is not None and datetime.now(UTC) - night.last_stored < idle:
        raise FulgorError(
            f"{night}: is still being written (the latest row came {night.last_stored:%Y-%m-%d %H:%M:%S} UTC, less than"
            f" {idle.total_seconds() / 60:g} minutes ago): try again later, or give a shorter --idle"
        )


def _seal(connection: Connection, night: Night, table: str) -> None:
    connection.execute("SET LOCAL work_mem = '64MB'")
    parameters = {"stream": night.stream, "night": night.first}
    for statement in _SEAL:
        connection.execute(sql.SQL(statement).format(table=sql.Identifier("fulgor", table)), parameters)


# What goes, by its place; then which messages are gone as a whole: every item of every record once.
_SEAL: Sequence[LiteralString] = (
    """
CREATE TEMP TABLE going ON COMMIT DROP AS
SELECT feed_id, segment, "offset", record, item, records, items, 'stored' AS was FROM {table} WHERE NOT shadow
""",
    """
INSERT INTO going SELECT d.feed_id, d.segment, d."offset", d.record, d.item, d.records, d.items, 'duplicate'
FROM fulgor.duplicate d JOIN fulgor.feed f USING (feed_id)
WHERE f.stream = %(stream)s AND d.alert IN (SELECT alert FROM {table})
""",
    """
INSERT INTO going SELECT e.feed_id, e.segment, e."offset", greatest(e.record, 0), 0,
       CASE WHEN e.record < 0 THEN 1 ELSE e.records END, 1, 'empty'
FROM fulgor.empty e
JOIN (SELECT feed_id, segment, min("offset") AS first, max("offset") AS last FROM {table} GROUP BY 1, 2) span
  ON (e.feed_id, e.segment) = (span.feed_id, span.segment) AND e."offset" BETWEEN span.first AND span.last
""",
    """
INSERT INTO going SELECT i.feed_id, i.segment, i."offset", i.record, i.item, i.records, i.items, 'sealed'
FROM fulgor.sealed_item i WHERE (i.feed_id, i.segment, i."offset") IN (SELECT feed_id, segment, "offset" FROM {table})
""",
    """
CREATE TEMP TABLE whole ON COMMIT DROP AS
WITH numbered AS (
    SELECT *, row_number() OVER (PARTITION BY feed_id, segment, "offset", record ORDER BY item) - 1 AS place FROM going
),
record AS (
    SELECT feed_id, segment, "offset", record, min(records) AS fewest, max(records) AS most,
           bool_and(item = place) AND count(*) = min(items) AND count(*) = max(items) AS whole,
           count(*) FILTER (WHERE was IN ('stored', 'sealed')) AS stored,
           count(*) FILTER (WHERE was = 'duplicate') AS duplicates, count(*) FILTER (WHERE was = 'empty') AS empty
    FROM numbered GROUP BY feed_id, segment, "offset", record
),
ordered AS (
    SELECT *, row_number() OVER (PARTITION BY feed_id, segment, "offset" ORDER BY record) - 1 AS place FROM record
)
SELECT feed_id, segment, "offset", sum(stored) AS stored, sum(duplicates) AS duplicates, sum(empty) AS empty
FROM ordered GROUP BY feed_id, segment, "offset"
HAVING bool_and(whole AND record = place) AND count(*) = min(fewest) AND count(*) = max(most)
""",
    """
INSERT INTO fulgor.sealed (feed_id, segment, first_offset, next_offset, night, stored, duplicates, empty)
SELECT feed_id, segment, min("offset"), max("offset") + 1, %(night)s, sum(stored), sum(duplicates), sum(empty)
FROM (SELECT *, "offset" - row_number() OVER (PARTITION BY feed_id, segment ORDER BY "offset") AS stretch FROM whole) w
GROUP BY feed_id, segment, stretch
""",
    """
INSERT INTO fulgor.sealed_item (feed_id, segment, "offset", record, item, records, items, night)
SELECT feed_id, segment, "offset", record, item, records, items, %(night)s FROM going g
WHERE was = 'stored' AND NOT EXISTS (
    SELECT 1 FROM whole w WHERE (w.feed_id, w.segment, w."offset") = (g.feed_id, g.segment, g."offset"))
""",
    """
DELETE FROM fulgor.duplicate d USING going g, whole w
WHERE g.was = 'duplicate' AND (w.feed_id, w.segment, w."offset") = (g.feed_id, g.segment, g."offset")
  AND (d.feed_id, d.segment, d."offset", d.record, d.item) = (g.feed_id, g.segment, g."offset", g.record, g.item)
""",
    """
DELETE FROM fulgor.empty e USING whole w
WHERE (e.feed_id, e.segment, e."offset") = (w.feed_id, w.segment, w."offset") AND w.empty > 0
""",
    """
DELETE FROM fulgor.sealed_item i USING whole w
WHERE (i.feed_id, i.segment, i."offset") = (w.feed_id, w.segment, w."offset")
""",
)
