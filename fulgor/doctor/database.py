"""The database: server, extension, tables, room, and what our role may do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from psycopg.conninfo import conninfo_to_dict

from fulgor.consumer.preparation import check_preparation
from fulgor.consumer.settings import Settings
from fulgor.consumer.stream import Stream
from fulgor.doctor.check import Check, guarded, passed, skipped, warned
from fulgor.embedded.postgres import EmbeddedPostgres
from fulgor.errors import DatabaseError, DiskFullError, FulgorError
from fulgor.storage.database import Connection, connect, location, translated
from fulgor.storage.migrate import CORE_VERSION, check_schema
from fulgor.storage.modelfiles import has_files
from fulgor.storage.registry import find_live
from fulgor.storage.tables import StreamTable

__all__ = ["check_database"]

_STATEMENT_MS = 5000
_OLDEST_SERVER = 140_000
_LITTLE_BYTES = 5 * 10**9
_NONE_BYTES = 10**8
_LOOPBACK = {None, "", "localhost", "127.0.0.1", "::1"}
_PRIVILEGES = """
SELECT c.relname, p.what
FROM pg_class c
CROSS JOIN LATERAL unnest(%(wanted)s::text[]) AS p (what)
WHERE c.relnamespace = to_regnamespace('fulgor') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname <> ALL ('{migration,job,offset_audit}') AND NOT has_table_privilege(c.oid, p.what)
ORDER BY 1, 2
"""
# Partitions are made by the writer, and only an owner may attach one.
_OWNED = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = to_regnamespace('fulgor') AND c.relname = ANY(%s) AND NOT pg_has_role(c.relowner, 'USAGE')
"""


def check_database(settings: Settings, stream: Stream) -> list[Check]:
    """Look at the database that a consumer of this stream would write to."""
    table = stream.table
    steps: dict[str, Callable[[Connection], Check]] = {
        "database": _server,
        "pgvector": _extension,
        "tables": lambda connection: _tables(connection, table),
        "space": _space,
        "privileges": lambda connection: _privileges(connection, table),
        "outbox": _outbox,
        "live model": lambda connection: _live_model(connection, stream),
    }
    try:
        url = settings.database or EmbeddedPostgres().url()
        connection = connect(url, application="fulgor doctor", vectors=False)
    except FulgorError as error:
        failed = error  # the name of an except clause is gone after it, and a check is made later

        def fail() -> Check:
            raise failed

        rest = [name for name in steps if name != "database"]
        return [guarded("database", fail), *skipped(rest, "the database does not answer")]
    with connection:
        connection.execute("SELECT set_config('statement_timeout', %s, false)", [str(_STATEMENT_MS)])
        return [guarded(name, partial(_asked, url, connection, step)) for name, step in steps.items()]


def _asked(url: str, connection: Connection, step: Callable[[Connection], Check]) -> Check:
    with translated(url):
        return step(connection)


def _server(connection: Connection) -> Check:
    version, role, standby, read_only = _row(
        connection,
        "SELECT current_setting('server_version'), current_user, pg_is_in_recovery(),"
        " current_setting('default_transaction_read_only') = 'on'",
    )
    where = location(connection.info.dsn)
    if standby or read_only:
        why = "a standby" if standby else "read-only (default_transaction_read_only)"
        raise DatabaseError(f"database {where}: the server is {why}; name one that can be written to with --database")
    text = f"{where}: PostgreSQL {version}, as {role}"
    if connection.info.server_version < _OLDEST_SERVER:
        return warned("database", f"{text}; older than 14, which nobody has tried: upgrade the server")
    return passed("database", text)


def _extension(connection: Connection) -> Check:
    row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    if row is not None:
        return passed("pgvector", f"version {row[0]}")
    offered = connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'").fetchone()
    way = "run 'fulgor db migrate'" if offered else "install pgvector on the server and run 'fulgor db migrate'"
    raise DatabaseError(f"the database has no extension 'vector': {way}")


def _tables(connection: Connection, table: StreamTable) -> Check:
    check_schema(connection, table)
    return passed("tables", f"core at version {CORE_VERSION}, {table.stream} at version {table.version}")


def _live_model(connection: Connection, stream: Stream) -> Check:
    if _row(connection, "SELECT to_regclass('fulgor.model_file')") == (None,):
        return warned("live model", "not checked: the tables are not there")
    live = find_live(connection, stream.name)
    if live is None:
        return passed("live model", "none yet: the first consumer makes the shipped one live")
    check_preparation(stream, live.preprocessing_hash)
    said = f"{live.name} ({live.hash}), reference {live.reference}"
    if not has_files(connection, live.model_id):
        return warned("live model", f"{said}; its files are not in the database: 'fulgor models add FOLDER'")
    return passed("live model", f"{said}; its files are in the database")


def _space(connection: Connection) -> Check:
    (size,) = _row(connection, "SELECT pg_database_size(current_database())")
    used = f"the database takes {_gigabytes(int(str(size)))}"
    folder = _data_folder(connection)
    if folder is None:
        return passed("space", f"{used}; the server's free space cannot be seen from here")
    free = shutil.disk_usage(folder).free
    text = f"{used}, {_gigabytes(free)} are free"
    if free < _NONE_BYTES:
        raise DiskFullError(f"{text}: make room in {folder}")
    if free < _LITTLE_BYTES:
        return warned("space", f"{text}: make room in {folder}, or drop old nights with 'fulgor db prune'")
    return passed("space", text)


def _data_folder(connection: Connection) -> Path | None:
    """Return the server's folder where it is on this machine and we may know it."""
    host = conninfo_to_dict(connection.info.dsn).get("host")
    if host not in _LOOPBACK and not str(host).startswith("/"):
        return None
    row = connection.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'").fetchone()
    found = Path(str(row[0])) if row and row[0] else None
    # A server in a container names a folder of its own: another thing may have that name here.
    return found if found is not None and (found / "postmaster.pid").exists() else None


def _privileges(connection: Connection, table: StreamTable) -> Check:
    (there,) = _row(connection, "SELECT to_regclass('fulgor.feed') IS NOT NULL")
    if not there:
        return warned("privileges", "not checked: there are no tables yet")
    missing = [
        f"{what} on {relation}"
        for relation, what in connection.execute(_PRIVILEGES, {"wanted": ["SELECT", "INSERT", "UPDATE"]}).fetchall()
    ]
    parents = ["latent", f"{table.stream}_alert", f"latent_{table.stream}"]
    missing += [f"ownership of {name}" for (name,) in connection.execute(_OWNED, [parents]).fetchall()]
    temporary, create = _row(
        connection,
        "SELECT has_database_privilege(current_database(), 'TEMPORARY'), has_schema_privilege('fulgor', 'CREATE')",
    )
    missing += [
        what for what, granted in (("TEMPORARY", temporary), ("CREATE on schema fulgor", create)) if not granted
    ]
    if missing:
        shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
        raise DatabaseError(f"this role lacks {shown}: connect as the role that owns the tables, or GRANT them")
    return passed("privileges", "this role can write results and make partitions")


def _outbox(connection: Connection) -> Check:
    (there,) = _row(connection, "SELECT to_regclass('fulgor.alert_outbox') IS NOT NULL")
    if not there:
        return warned("outbox", "not checked: there are no tables yet")
    rows = connection.execute(
        "SELECT topic, count(*) FROM fulgor.alert_outbox WHERE stored_at < now() - interval '5 minutes'"
        " GROUP BY topic ORDER BY topic"
    ).fetchall()
    if not rows:
        return passed("outbox", "no anomaly waits for long to be published")
    waiting = ", ".join(f"{count} for topic {topic}" for topic, count in rows)
    return warned(
        "outbox", f"anomalies wait for more than 5 minutes: {waiting}; a consumer with --alerts-to sends them"
    )


def _row(connection: Connection, query: str) -> tuple[object, ...]:
    return cast("tuple[object, ...]", connection.execute(query.encode()).fetchone())


def _gigabytes(size: int) -> str:
    return f"{size / 10**9:.3g} GB"
