import os
import socket

import psycopg
import pytest

from fulgor.errors import DatabaseError
from fulgor.storage.database import connect, contended, location, transient, translated

pytestmark = pytest.mark.services


def test_a_database_without_pgvector_is_named(database):
    with pytest.raises(DatabaseError, match="no extension 'vector'"):
        connect(database)


def test_a_connection_that_is_interrupted_on_its_way_is_closed(database, monkeypatch):
    made = []

    def interrupted(connection):
        made.append(connection)
        raise KeyboardInterrupt

    monkeypatch.setattr("fulgor.storage.database.register_vector", interrupted)
    with pytest.raises(KeyboardInterrupt):
        connect(database)
    assert made[0].closed


def test_a_missing_database_is_named_without_the_password(postgres_url):
    parts = psycopg.conninfo.conninfo_to_dict(postgres_url)
    url = psycopg.conninfo.make_conninfo(**parts | {"dbname": "not_there", "password": "geheim"})
    with pytest.raises(DatabaseError) as caught:
        connect(url)
    assert "geheim" not in str(caught.value)
    assert location(url) in str(caught.value)


def test_nothing_listens():
    with pytest.raises(DatabaseError, match="nothing answers there"):
        connect("postgresql://somebody:geheim@127.0.0.1:1/x")


def test_missing_tables_say_what_to_do(database):
    with connect(database, vectors=False) as connection:  # noqa: SIM117 - the second block is what is tested
        with pytest.raises(DatabaseError, match="run 'fulgor db migrate'"), translated(database):
            connection.execute("SELECT * FROM fulgor.latent")


def test_sessions_read_times_in_utc(database):
    with connect(database, vectors=False) as connection:
        row = connection.execute("SELECT timestamptz '0001-01-01 00:00+00', timestamptz '9999-12-31 23:59+00'")
        assert [time.year for time in row.fetchone()] == [1, 9999]


TOO_LONG_A_KEY = (
    "CREATE TEMP TABLE t (x text PRIMARY KEY);"
    " INSERT INTO t SELECT string_agg(md5(i::text), '') FROM generate_series(1, 999) i"
)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", True),
        ("SET statement_timeout = 1; SELECT pg_sleep(1)", True),
        (TOO_LONG_A_KEY, False),
        ("SELECT 1 / 0", False),
        ("SELECT * FROM nowhere", False),
    ],
)  # fmt: skip
def test_what_may_go_better_later(database, statement, expected):
    with connect(database, vectors=False) as connection:
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(statement)
        assert transient(caught.value) is expected


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no TCP_USER_TIMEOUT")
def test_a_host_that_vanished_is_noticed_within_20_s(database):
    """Nobody can be made to vanish here: what the system was told to do about it is read back."""
    with connect(database, vectors=False) as connection, socket.socket(fileno=os.dup(connection.fileno())) as same:
        asked = {name: same.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in (
            "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT",
        )}  # fmt: skip
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert asked["TCP_KEEPIDLE"] + asked["TCP_KEEPINTVL"] * asked["TCP_KEEPCNT"] < 20
    assert asked["TCP_USER_TIMEOUT"] == 20_000


def test_a_deadlock_is_no_absence():
    assert contended(psycopg.errors.DeadlockDetected())
    assert contended(psycopg.errors.QueryCanceled())
    assert not contended(psycopg.errors.AdminShutdown())
    assert not contended(psycopg.OperationalError("no answer"))
    assert not contended(DatabaseError("no answer"))
