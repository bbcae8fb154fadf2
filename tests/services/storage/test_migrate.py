import subprocess
import sys
from dataclasses import replace

import psycopg
import pytest

from fulgor.errors import DatabaseError, SchemaVersionError
from fulgor.storage import migrate as migrating
from fulgor.storage.database import connect, translated
from fulgor.storage.ledger import check, read_accounts
from fulgor.storage.migrate import check_schema, migrate
from fulgor.storage.tables import Column, StreamTable

pytestmark = pytest.mark.services

CORE = [f"core {version}" for version in range(1, migrating.CORE_VERSION + 1)]
TOY = StreamTable("toy", "alerts", (Column("ra", "float8", "right ascension, degrees"),))


def test_twice_is_once(database):
    with connect(database, vectors=False) as connection:
        assert migrate(connection, [TOY]) == [*CORE, "toy 1"]
        assert migrate(connection, [TOY]) == []
        check_schema(connection, TOY)


def test_a_second_stream_comes_later(database):
    with connect(database, vectors=False) as connection:
        migrate(connection, [TOY])
        assert migrate(connection, [TOY, replace(TOY, stream="other")], partition_by="month") == ["other 1"]
        widths = dict(connection.execute("SELECT name, partition_by FROM fulgor.stream").fetchall())
    assert widths == {"toy": "day", "other": "month"}


PROGRAM = """
import sys
from fulgor.storage.database import connect
from fulgor.storage.migrate import migrate
from fulgor.storage.tables import Column, StreamTable
table = StreamTable("toy", "alerts", (Column("ra", "float8", ""),))
with connect(sys.argv[1], vectors=False) as connection:
    sys.stdin.readline()
    print(len(migrate(connection, [table])))
"""


def test_two_processes_at_once(database):
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    applied = []
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        applied.append(int(output))
    assert sorted(applied) == [0, len(CORE) + 1]


def test_missing_tables(database):
    with connect(database, vectors=False) as connection:
        with pytest.raises(SchemaVersionError, match="no tables for 'core': run 'fulgor db migrate'"):
            check_schema(connection, TOY)
        migrate(connection, [])
        with pytest.raises(SchemaVersionError, match="no tables for 'toy'"):
            check_schema(connection, TOY)


def test_older_tables(database):
    with connect(database, vectors=False) as connection:
        migrate(connection, [TOY])
        with pytest.raises(SchemaVersionError, match="'toy' are at version 1, this program needs 2"):
            check_schema(connection, replace(TOY, version=2))


@pytest.mark.parametrize("component", ["core", "toy"])
def test_newer_tables(database, component):
    with connect(database, vectors=False) as connection:
        migrate(connection, [TOY])
        connection.execute("INSERT INTO fulgor.migration (component, version) VALUES (%s, 99)", [component])
        for work in (lambda: check_schema(connection, TOY), lambda: migrate(connection, [TOY])):
            with pytest.raises(SchemaVersionError, match=f"'{component}' are at version 99, newer than"):
                work()


def test_a_failed_migration_leaves_nothing(database):
    broken = replace(TOY, columns=(Column("ra", "no_such_type", ""),))
    with connect(database, vectors=False) as connection:
        with pytest.raises(psycopg.errors.UndefinedObject):
            migrate(connection, [broken])
        assert connection.execute("SELECT to_regnamespace('fulgor')").fetchone() == (None,)
        assert migrate(connection, [TOY]) == [*CORE, "toy 1"]


def test_columns_carry_their_comments(database):
    with connect(database, vectors=False) as connection:
        migrate(connection, [TOY])
        found = connection.execute(
            "SELECT col_description('fulgor.toy_alert'::regclass, attnum) FROM pg_attribute"
            " WHERE attrelid = 'fulgor.toy_alert'::regclass AND attname = 'ra'"
        ).fetchone()
    assert found == ("right ascension, degrees",)


VERSION_1_ROWS = """
INSERT INTO fulgor.feed (group_name, cluster, topic, topic_id, partition, stream, segment, next_offset)
    VALUES ('g', 'c', 't', '', 0, 'toy', 1, 12);
INSERT INTO fulgor.segment (feed_id, segment, first_offset, reason)
    SELECT feed_id, n, 10, 'by hand' FROM fulgor.feed, generate_series(0, 1) n;
INSERT INTO fulgor.empty SELECT feed_id, 0, n, -1, 0 FROM fulgor.feed, generate_series(10, 14) n;
INSERT INTO fulgor.empty SELECT feed_id, 1, n, -1, 0 FROM fulgor.feed, generate_series(10, 11) n;
"""


def test_a_database_of_version_1_with_rows(database, monkeypatch):
    with connect(database, vectors=False) as connection:
        with monkeypatch.context() as earlier:
            earlier.setattr(migrating, "CORE_VERSION", 1)
            assert migrate(connection, [TOY]) == ["core 1", "toy 1"]
        connection.execute(VERSION_1_ROWS)
        with pytest.raises(SchemaVersionError, match=r"'core' are at version 1, this program needs \d: run 'fulgor"):
            check_schema(connection, TOY)
        with pytest.raises(DatabaseError, match="run 'fulgor db migrate'"), translated(database):
            read_accounts(connection)
        assert migrate(connection, [TOY]) == CORE[1:]
        check_schema(connection, TOY)
        report = check(connection)
        assert report.closed
        accounts = [(a.segment, a.open, a.first_offset, a.next_offset, a.empty, a.sealed) for a in report.accounts]
        assert accounts == [(0, False, 10, None, 5, 0), (1, True, 10, 12, 2, 0)]
