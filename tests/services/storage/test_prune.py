"""Nights that are dropped: their account stays, and what is left is still checked."""

import json
import threading
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from typer.testing import CliRunner

from fulgor.cli import app
from fulgor.errors import DatabaseError, FulgorError, SettingsError
from fulgor.storage import prune as pruning
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.prune import find_nights, prune
from fulgor.storage.rows import Hole
from fulgor.storage.writer import PartitionGoneError, Writer

pytestmark = pytest.mark.services
DAY = timedelta(days=1)
NOW = timedelta(0)


@pytest.fixture
def nights(toy):
    """Three nights of ten messages; of the second: a duplicate, two dead letters, empties, a hole, a shared message."""
    toy.fill(10)  # 0..9, first night
    second, third = toy.night + DAY, toy.night + 2 * DAY
    rows = [toy.result(i, time=second + timedelta(seconds=i)) for i in (10, 11, 12, 14, 18)]
    again = replace(toy.result(13, alert="a12.0.0"), time=rows[2].time)
    toy.write([*rows[:3], again, *rows[3:4]], next_offset=15)
    toy.write([], [toy.dead(15)], [(16, -1, 0)], next_offset=17)
    toy.write(rows[4:], holes=(Hole(17, 18, "marker"),), next_offset=19)
    shared = [toy.result(19, 0, 0, 3, 1, time=second), toy.result(19, 2, 0, 3, 1, time=third)]
    toy.write(shared, [toy.dead(19, 1, records=3)], next_offset=20)
    toy.write([toy.result(i, time=third + timedelta(seconds=i)) for i in range(20, 30)], next_offset=30)
    assert closes(toy)
    return toy


def closes(toy) -> bool:
    report = check(toy.connection)
    assert list(report.findings) == []
    return report.closed


def account(toy):
    (found,) = check(toy.connection).accounts
    return found.stored, found.duplicates, found.dead, found.empty, found.skipped, found.sealed


def drop(toy, before, idle=NOW):
    return [prune(toy.connection, night, idle=idle) for night in find_nights(toy.connection, before)]


def sealed(toy):
    return toy.connection.execute(
        "SELECT first_offset, next_offset, night, stored, duplicates, empty FROM fulgor.sealed ORDER BY 1"
    ).fetchall()


def test_one_night_after_the_other(nights):
    assert account(nights) == (27, 1, 2, 1, 1, 0)
    [first] = drop(nights, date(2026, 3, 2))
    assert (str(first), first.rows) == ("toy 2026-03-01", 10)
    assert sealed(nights) == [(0, 10, date(2026, 3, 1), 10, 0, 0)]
    assert closes(nights)
    assert account(nights) == (17, 1, 2, 1, 1, 10)
    [second] = drop(nights, date(2026, 3, 3))
    assert second.rows == 6
    assert sealed(nights)[1:] == [
        (10, 15, date(2026, 3, 2), 4, 1, 0),
        (16, 17, date(2026, 3, 2), 0, 0, 1),
        (18, 19, date(2026, 3, 2), 1, 0, 0),
    ]
    assert closes(nights)
    assert account(nights) == (11, 0, 2, 0, 1, 18)
    assert nights.count("sealed_item") == 1  # of the message that the third night and a dead letter share
    drop(nights, date(2026, 3, 4))
    assert closes(nights)
    assert account(nights) == (0, 0, 2, 0, 1, 29)
    assert nights.count("toy_alert") == 0
    assert [night.rows for night in find_nights(nights.connection, date(2026, 3, 4))] == []


def test_all_at_once_seals_a_message_of_two_nights(toy):
    second = toy.night + DAY
    toy.write([toy.result(0, 0, 0, 2, 1), toy.result(0, 1, 0, 2, 1, time=second)], next_offset=1)
    drop(toy, date(2026, 3, 3))
    assert closes(toy)
    assert toy.count("sealed_item") == 0
    assert sealed(toy) == [(0, 1, date(2026, 3, 2), 2, 0, 0)]


@pytest.mark.parametrize(
    ("statement", "offset", "kind"),
    [
        ('DELETE FROM fulgor.latent WHERE "offset" = 24', 24, "missing"),
        ("DELETE FROM fulgor.sealed WHERE first_offset = 10", 10, "missing"),
        ("UPDATE fulgor.sealed SET next_offset = 14 WHERE first_offset = 10", 14, "missing"),
        ("UPDATE fulgor.sealed SET next_offset = 16, stored = 9 WHERE first_offset = 10", 15, "overlap"),
        ("DELETE FROM fulgor.sealed_item", 19, "incomplete"),
        ("INSERT INTO fulgor.sealed_item SELECT * FROM fulgor.sealed_item", 19, "doubled"),
        ("INSERT INTO fulgor.empty SELECT feed_id, 0, 3, -1, 0 FROM fulgor.feed", 3, "overlap"),
        ('DELETE FROM fulgor.dead_letter WHERE "offset" = 15', 15, "missing"),
    ],
)
def test_damage_is_found_after_a_prune(nights, statement, offset, kind):
    drop(nights, date(2026, 3, 3))
    nights.connection.execute(statement)
    findings = check(nights.connection).findings
    assert [(finding.offset, finding.kind) for finding in findings] == [(offset, kind)]


@pytest.mark.parametrize(
    ("statement", "offset", "kind"),
    [
        ('DELETE FROM fulgor.latent WHERE "offset" = 4', 4, "missing"),
        ('UPDATE fulgor.latent SET items = 2 WHERE "offset" = 4', 4, "incomplete"),
        ("INSERT INTO fulgor.duplicate SELECT feed_id, 0, 4, 0, 0, 1, 1, 'a4.0.0' FROM fulgor.feed", 4, "doubled"),
        ("INSERT INTO fulgor.duplicate SELECT feed_id, 0, 4, 0, 0, 1, 1, 'x' FROM fulgor.feed", 4, "overlap"),
    ],
)
def test_a_prune_hides_no_damage(nights, statement, offset, kind):
    nights.connection.execute(statement)
    drop(nights, date(2026, 3, 2))
    findings = check(nights.connection).findings
    assert [(finding.offset, finding.kind) for finding in findings] == [(offset, kind)]


def test_a_dead_letter_is_redriven_into_a_night_that_was_dropped(nights):
    drop(nights, date(2026, 3, 4))
    batch = nights.batch([nights.result(15, time=nights.night + DAY)], next_offset=nights.next_offset)
    batch.runs.clear()
    assert nights.writer.redrive(batch).stored == 1
    assert closes(nights)


def test_a_night_that_is_being_written_is_refused(nights):
    with pytest.raises(FulgorError, match="toy 2026-03-01: is still being written"):
        drop(nights, date(2026, 3, 2), idle=timedelta(minutes=60))
    assert account(nights)[0] == 27
    with pytest.raises(SettingsError, match="are not over"):
        find_nights(nights.connection, datetime.now(UTC).date() + 2 * DAY)  # tomorrow may be today before it is read
    with pytest.raises(SettingsError, match="stream 'nobody': this database has toy"):
        find_nights(nights.connection, date(2026, 3, 2), stream="nobody")


def test_a_reader_that_does_not_let_go(nights, monkeypatch):
    monkeypatch.setattr(pruning, "_TRIES", 1)
    with psycopg.connect(nights.url) as reader:
        reader.execute("SELECT count(*) FROM fulgor.latent")
        with pytest.raises(DatabaseError, match="keep its tables locked"):
            drop(nights, date(2026, 3, 2))
    assert closes(nights)
    drop(nights, date(2026, 3, 2))
    assert closes(nights)


def test_a_consumer_that_waits_for_the_night_is_not_the_one_to_go(nights, monkeypatch):
    """While a large night is counted, it waits for longer than it takes to look for a deadlock."""
    failures = []

    def write() -> None:
        try:
            nights.write([nights.result(30, time=nights.night)], next_offset=31)
        except psycopg.Error as error:
            failures.append(error)

    # Sooner than the prune's own wait ends.
    nights.writer._connection.execute("SET deadlock_timeout = '400ms'")
    writing, seal = threading.Thread(target=write), pruning._seal

    def counted(*arguments):
        seal(*arguments)
        if writing.ident is None:
            writing.start()
            with connect(nights.url) as other:
                waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND NOT granted"
                while other.execute(waits).fetchone() == (0,):
                    time.sleep(0.01)

    monkeypatch.setattr(pruning, "_seal", counted)
    [night] = drop(nights, date(2026, 3, 2))
    writing.join()
    assert (failures, night.rows) == ([], 11)
    assert closes(nights)


def test_two_who_drop_the_same_night_at_once(nights):
    """The one that waits knows the night from before: it must not trust that when the other has dropped it."""
    [night] = find_nights(nights.connection, date(2026, 3, 2))
    dropped = []
    with connect(nights.url) as first, connect(nights.url) as second:
        assert len(pruning._children(second, night)) == 2
        waiting = threading.Thread(target=lambda: dropped.append(prune(second, night, idle=NOW).rows))
        with first.transaction():
            first.execute("SELECT pg_advisory_xact_lock(%s)", [pruning._LOCK])
            for name in pruning._children(first, night):
                first.execute(f"DROP TABLE fulgor.{name}")
            waiting.start()
            while not nights.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                time.sleep(0.01)
        waiting.join()
    assert dropped == [0]


def test_nights_that_somebody_else_drops_meanwhile_are_not_found(nights, monkeypatch):
    children = pruning._children

    def dropped(connection, night):
        found = children(connection, night)
        if night.first == date(2026, 3, 1):  # between the look for its tables and their count
            nights.connection.execute("".join(f"DROP TABLE fulgor.{name};" for name in found))
        return found

    monkeypatch.setattr(pruning, "_children", dropped)
    with connect(nights.url) as connection:
        assert [night.first for night in find_nights(connection, date(2026, 3, 3))] == [date(2026, 3, 2)]


def test_consumers_that_write_into_the_night_meanwhile(toy, monkeypatch):
    """Rows of two nights, dropped again and again beneath the writer."""
    monkeypatch.setattr(pruning, "_TRIES", 10_000)  # beneath a slow writer, until it has written all
    done, failures = threading.Event(), []

    def write_until_it_stays(results, next_offset) -> None:
        """As the committer does: the night may be dropped once more while the batch is written again."""
        while True:
            try:
                return toy.write(results, next_offset=next_offset)
            except PartitionGoneError:
                continue

    def write() -> None:
        try:
            with connect(toy.url) as connection:
                toy.writer = Writer(connection, toy.table)
                for first in range(0, 3000, 50):
                    results = [toy.result(i, time=toy.night + (i % 2) * DAY) for i in range(first, first + 50)]
                    write_until_it_stays(results, first + 50)
        except Exception as error:  # noqa: BLE001 - shown by the test itself
            failures.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=write)
    thread.start()
    dropped, last = 0, False
    with connect(toy.url) as connection:
        while not last:
            last = done.is_set()  # once more then: a quick writer may be done before the first look
            for night in find_nights(connection, date(2026, 3, 3)):
                dropped += prune(connection, night, idle=NOW).rows
            assert check(toy.connection).closed
            time.sleep(0.02)
    thread.join()
    assert failures == []
    assert dropped > 0
    assert closes(toy)
    stored, *_, sealed_items = account(toy)
    assert stored + sealed_items == 3000


def test_command(nights, monkeypatch):
    monkeypatch.setenv("FULGOR_DATABASE", nights.url)

    def run(*arguments):
        return CliRunner().invoke(app, ["db", "prune", *arguments])

    [would] = json.loads(run("--before", "2026-03-02", "--dry-run", "--json").stdout)
    assert (would["stream"], would["first"], would["after"], would["rows"]) == ("toy", "2026-03-01", "2026-03-02", 10)
    assert would["bytes"] > 0
    assert account(nights)[-1] == 0
    assert isinstance(run("--before", "yesterday").exception, SettingsError)
    assert "still being written" in str(run("--before", "2026-03-02").exception)
    assert json.loads(run("--before", "2026-03-02", "--stream", "toy", "--idle", "0", "--json").stdout)[0]["rows"] == 10
    assert account(nights)[-1] == 10
    shown = CliRunner().invoke(app, ["ledger", "--check"]).stdout.splitlines()
    assert dict(zip(shown[0].split("\t"), shown[1].split("\t"), strict=True))["sealed"] == "10"
