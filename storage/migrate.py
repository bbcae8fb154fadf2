"""Versioned, forward-only migrations: the core's SQL files, and one table set per stream."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import psycopg
from psycopg import sql

from fulgor.errors import DatabaseError, SchemaVersionError
from fulgor.storage.database import Connection
from fulgor.storage.streamtables import create_stream_tables
from fulgor.storage.tables import StreamTable

__all__ = ["CORE_VERSION", "check_core", "check_schema", "migrate", "migrate_part"]

CORE_VERSION = 7
_LOCK = 0x46554C47  # any fixed number: two migrations at once must wait for each other


def migrate(connection: Connection, tables: Sequence[StreamTable], *, partition_by: str = "day") -> list[str]:
    """Bring the database to this program's version; safe to run again and from two places at once.

    Parameters
    ----------
    connection : Connection
        In autocommit mode, opened with ``vectors=False``: the extension may not be there yet.
    tables : sequence of StreamTable
        The streams whose tables are wanted.
    partition_by : {'day', 'month'}
        Width of the partitions of streams that are new here; existing ones keep theirs.

    Returns
    -------
    list of str
        What was applied, such as ``core 1``; empty if nothing was owed.

    Raises
    ------
    SchemaVersionError
        The database is newer than this program.
    DatabaseError
        pgvector is not installed on the server, or may not be created by this role.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        _create_extension(connection)
        connection.execute("CREATE SCHEMA IF NOT EXISTS fulgor")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS fulgor.migration (component text, version integer,"
            " applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (component, version))"
        )
        applied = _migrate_core(connection)
        for table in tables:
            applied += _migrate_stream(connection, table, partition_by)
    return applied


def migrate_part(connection: Connection, part: str, versions: Sequence[sql.SQL | sql.Composed]) -> None:
    """Bring tables that a downstream job keeps to this program's version; safe to run in each of its rounds.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    part : str
        Under which name the versions are recorded, such as ``leela-strokes``.
    versions : sequence of SQL
        What leads from each version to the next, from an empty schema on; earlier ones never change.

    Raises
    ------
    SchemaVersionError
        The tables are newer than this program.
    """
    if _version(connection, part) == len(versions):
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        found = _version(connection, part)
        _refuse_newer(part, found, len(versions))
        for version, statements in enumerate(versions[found:], found + 1):
            connection.execute(statements)
            _record(connection, part, version)


def check_schema(connection: Connection, table: StreamTable) -> None:
    """Refuse a schema that this program does not know.

    Raises
    ------
    SchemaVersionError
        Tables are missing, older or newer; the message says which and what to do.
    """
    check_core(connection)
    _check(connection, table.stream, table.version)


def check_core(connection: Connection) -> None:
    """Refuse tables of the engine that this program does not know.

    Raises
    ------
    SchemaVersionError
        They are missing, older or newer; the message says what to do.
    """
    _check(connection, "core", CORE_VERSION)


def _check(connection: Connection, component: str, wanted: int) -> None:
    found = _version(connection, component)
    if found == 0:
        raise SchemaVersionError(f"the database has no tables for '{component}': run 'fulgor db migrate'")
    _refuse_newer(component, found, wanted)
    if found < wanted:
        raise SchemaVersionError(
            f"the tables of '{component}' are at version {found}, this program needs {wanted}: run 'fulgor db migrate'"
        )


def _version(connection: Connection, component: str) -> int:
    try:
        row = connection.execute(
            "SELECT coalesce(max(version), 0) FROM fulgor.migration WHERE component = %s", [component]
        ).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return 0
    return int(str(row[0])) if row else 0


def _refuse_newer(component: str, found: int, wanted: int) -> None:
    if found > wanted:
        raise SchemaVersionError(
            f"the tables of '{component}' are at version {found}, newer than this program knows ({wanted}):"
            " upgrade fulgor"
        )


def _create_extension(connection: Connection) -> None:
    present = connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchone()
    if present:
        return
    try:
        connection.execute("CREATE EXTENSION vector WITH SCHEMA public")
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile) as error:
        raise DatabaseError(
            "the server has no pgvector: install the extension (package pgvector) and run this again"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            "this role may not create the extension: have a superuser run CREATE EXTENSION vector"
        ) from error


def _migrate_core(connection: Connection) -> list[str]:
    found = _version(connection, "core")
    _refuse_newer("core", found, CORE_VERSION)
    applied = []
    for version in range(found + 1, CORE_VERSION + 1):
        script = resources.files("fulgor.storage") / "migrations" / f"core_{version:04d}.sql"
        connection.execute(sql.SQL(script.read_text(encoding="utf-8")))
        _record(connection, "core", version)
        applied.append(f"core {version}")
    return applied


def _migrate_stream(connection: Connection, table: StreamTable, partition_by: str) -> list[str]:
    found = _version(connection, table.stream)
    _refuse_newer(table.stream, found, table.version)
    if found == table.version:
        return []
    create_stream_tables(connection, table, partition_by)
    _record(connection, table.stream, table.version)
    return [f"{table.stream} {table.version}"]


def _record(connection: Connection, component: str, version: int) -> None:
    connection.execute("INSERT INTO fulgor.migration (component, version) VALUES (%s, %s)", [component, version])
