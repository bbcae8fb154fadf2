"""Connections to Postgres, and its errors in words that a user can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psycopg
from pgvector.psycopg import register_vector
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.waiting import Ready

from fulgor.errors import DatabaseError, DiskFullError

__all__ = ["ANSWER_S", "DATA_ERRORS", "Connection", "connect", "contended", "location", "transient", "translated"]

Connection = psycopg.Connection[tuple[object, ...]]

RV = TypeVar("RV")
SEARCH_PATH = "fulgor, public"
CONNECT_TIMEOUT_S = 10
ANSWER_S = 60.0
"""Longest silence of a server that a consumer waits out: then the connection is given up, and made again."""
# One row's own fault: no retry mends it, and the rows beside it can be stored. A key that is too long for an index
# comes as an operational error, although it will never be shorter.
DATA_ERRORS = (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded)


class _Listening(psycopg.Connection[tuple[object, ...]]):
    """A connection that need not wait for ever: behind a dead peer or a silent proxy libpq would."""

    answer_s: float | None = None

    def wait(self, gen: PQGen[RV], *arguments: Any, **keywords: Any) -> RV:
        bounded = gen if self.answer_s is None else self._bounded(gen, self.answer_s)
        return super().wait(bounded, *arguments, **keywords)

    def _bounded(self, gen: PQGen[RV], seconds: float) -> PQGen[RV]:
        """Drive a generator of psycopg as it is; without news of the socket for too long, end it and the connection."""
        try:
            state = next(gen)
            give_up = monotonic() + seconds
            while True:
                ready = yield state
                if ready != Ready.NONE:
                    give_up = monotonic() + seconds
                elif monotonic() >= give_up:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the server has said nothing for {seconds:.0f} s")
                state = gen.send(ready)
        except StopIteration as end:
            value: RV = end.value
            return value


def connect(
    url: str, *, application: str = "fulgor", vectors: bool = True, answer_s: float | None = None
) -> Connection:
    """Open a connection in autocommit mode, with the product's schema on its search path.

    Parameters
    ----------
    url : str
        A libpq URL or key/value string.
    application : str
        Shown in ``pg_stat_activity``.
    vectors : bool
        Register the adapters of pgvector; needs the extension in the database.
    answer_s : float, optional
        Longest silence of the server within a statement; by default any.

    Raises
    ------
    DatabaseError
        The server cannot be reached or refuses us, with the cause and the way out.
    """
    with translated(url):
        connection = _Listening.connect(
            url,
            autocommit=True,
            application_name=application,
            connect_timeout=CONNECT_TIMEOUT_S,
            # A host that vanished is noticed within 20 s: while we wait for its answer by the probes, while we send by
            # the time-out for what it does not acknowledge. The system's own pause between probes is 75 s.
            keepalives_idle=10,
            keepalives_interval=3,
            keepalives_count=3,
            tcp_user_timeout=20_000,
        )
        connection.answer_s = answer_s
        with ExitStack() as opened:
            opened.callback(connection.close)  # whatever comes, be it a Ctrl-C: nobody else could
            _set_up(connection, vectors=vectors)
            opened.pop_all()
    return connection


def _set_up(connection: Connection, *, vectors: bool) -> None:
    # UTC, for in any other zone psycopg cannot give back the times at the ends of the calendar.
    connection.execute(
        "SELECT set_config('search_path', %s, false), set_config('jit', 'off', false),"
        " set_config('timezone', 'UTC', false)",
        [SEARCH_PATH],
    )
    if vectors:
        _register_vectors(connection)


def _register_vectors(connection: Connection) -> None:
    try:
        register_vector(connection)
    except psycopg.ProgrammingError:
        raise DatabaseError(
            "the database has no extension 'vector': install pgvector on the server and run 'fulgor db migrate'"
        ) from None


def location(url: str) -> str:
    """Return host, port and database of a URL without user or password, for messages and logs."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return urlsplit(url).hostname or "an unreadable database URL"
    host = parts.get("host") or parts.get("hostaddr") or "the default socket"
    return f"{host}:{parts.get('port') or 5432}/{parts.get('dbname') or ''}"


def transient(error: psycopg.Error) -> bool:
    """Tell whether the same statement may succeed later: connection lost, server away, disk full, lock, conflict."""
    state = error.sqlstate or ""
    if isinstance(error, (errors.InsufficientPrivilege, *DATA_ERRORS)):
        return False
    return (
        isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        or state[:2] in {"08", "40", "53", "55", "57", "58"}
        or state in {"25006", "25P03", "25P04"}  # a standby that is not yet promoted; a session ended for its idleness
    )


def contended(error: Exception) -> bool:
    """Tell whether the database is there and others were in the way: a deadlock, conflict, lock or cancellation."""
    state = error.sqlstate or "" if isinstance(error, psycopg.Error) else ""
    return state[:2] in {"40", "55"} or state == "57014"


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn psycopg's errors into ours, naming the database but never its password."""
    try:
        yield
    except errors.DiskFull as error:
        raise DiskFullError(f"database {location(url)}: no space left on the server: {_first_line(error)}") from error
    except psycopg.OperationalError as error:
        raise DatabaseError(_advice(url, error)) from error
    except errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"database {location(url)}: {_first_line(error)}; connect as the role that owns the tables, or GRANT them"
        ) from error
    except (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName) as error:
        raise DatabaseError(f"database {location(url)}: {_first_line(error)}; run 'fulgor db migrate'") from error
    except psycopg.ProgrammingError as error:
        raise DatabaseError(f"database {location(url)}: {_first_line(error)}") from error


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _advice(url: str, error: psycopg.OperationalError) -> str:
    text = str(error).strip()
    where = location(url)
    if "password authentication failed" in text or "no password supplied" in text:
        return (
            f"database {where}: wrong or missing password; set PGPASSWORD or FULGOR_DATABASE, or use a ~/.pgpass file"
        )
    if "does not exist" in text and "database" in text:
        return f"database {where}: there is no such database; create it, or name another with --database"
    if "could not translate host name" in text or "failed to resolve host" in text:
        return f"database {where}: unknown host; check --database"
    if "onnection refused" in text or "No such file or directory" in text:
        return f"database {where}: nothing answers there; start it (the embedded one: 'fulgor db up') or check it"
    if "timeout" in text:
        return f"database {where}: no answer within {CONNECT_TIMEOUT_S} s; check the address and the firewall"
    return f"database {where}: {_first_line(error)}"
