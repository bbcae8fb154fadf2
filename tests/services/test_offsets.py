"""Rewinds, jumps and orders to pass over: as a user types them, on real brokers, with consumers that run meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import NewTopic
from live import until
from toy import TABLE, ToyPredictor, ToyStream, message, record
from typer.testing import CliRunner

from fulgor.cli import app
from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.settings import Settings
from fulgor.errors import BrokerError, OffsetError, SchemaVersionError, SettingsError, TopicError
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate

from .conftest import await_leaders, delete

pytestmark = pytest.mark.services
CONSUMER = Path(__file__).resolve().parents[1] / "support" / "toy_consumer.py"


@pytest.fixture
def tables(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    monkeypatch.setenv("FULGOR_DATABASE", database)
    return database


@pytest.fixture
def read(broker, topic: Callable, tables: str) -> str:
    """Name of a topic of two partitions with 20 messages each, all of them read by group g."""
    name = topic(partitions=2)
    produce(broker, name, range(40), partitions=2)
    run(broker, name, tables)
    return name


def produce(broker, topic: str, indices, partitions: int = 1, stamp: int = 0) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for index in indices:
        producer.produce(topic, message(record(index)), partition=index % partitions, timestamp=stamp)
    assert producer.flush(60) == 0


def run(broker, topic: str, database: str) -> None:
    settings = Settings(bootstrap=broker.bootstrap, group_protocol="classic", batch_size=16, deadline_ms=20)
    what = Consumption(ToyStream(), ToyPredictor(), database, "g")
    consume(what, lambda: kafka_source(settings, topic, "g"), settings, title="toy", until_end=True)


def offsets(broker, *arguments: str, fails=None):
    command, *rest = arguments
    result = CliRunner().invoke(app, ["offsets", command, "--bootstrap", broker.bootstrap, "--json", *rest])
    if fails is not None:
        assert isinstance(result.exception, fails), result.output
        return str(result.exception)
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


def accounts(database: str) -> list[tuple[int, ...]]:
    """The ledger closes; return partition, segment, first, next, stored, duplicates, skipped of each segment."""
    with connect(database) as connection:
        report = check(connection)
    assert list(report.findings) == []
    return [
        (a.partition, a.segment, a.first_offset, a.next_offset, a.stored, a.duplicates, a.skipped)
        for a in report.accounts
    ]


def rows(database: str, query: str) -> list[tuple]:
    with psycopg.connect(database, options="-csearch_path=fulgor,public") as connection:
        return connection.execute(query).fetchall()


def test_list_with_and_without_a_broker(broker, read: str, tables: str):
    produce(broker, read, [0, 2, 4], partitions=2)
    found = offsets(broker, "list")
    assert [(row["partition"], row["next_offset"], row["end"], row["lag"]) for row in found] == [
        (0, 20, 23, 3), (1, 20, 20, 0),
    ]  # fmt: skip
    assert all(row["released_at"] and row["owner"] for row in found)
    result = CliRunner().invoke(app, ["offsets", "list", "--bootstrap", "127.0.0.1:1", "--json"])
    assert [row["end"] for row in json.loads(result.stdout)] == [None, None]
    assert "127.0.0.1:1" in result.stderr
    assert json.loads(CliRunner().invoke(app, ["offsets", "list", "--json"]).stdout)[0]["lag"] is None


def test_a_rewind_counts_what_is_stored_as_duplicates(broker, read: str, tables: str):
    where = ("--group", "g", "--topic", read)
    changed = offsets(broker, "set", "earliest", *where, "--note", "a new look")
    assert [(row["action"], row["segment"], row["old_offset"], row["new_offset"]) for row in changed] == [
        ("rewind", 1, 20, 0)
    ] * 2
    assert accounts(tables) == [
        (0, 0, 0, 20, 20, 0, 0), (0, 1, 0, 0, 0, 0, 0), (1, 0, 0, 20, 20, 0, 0), (1, 1, 0, 0, 0, 0, 0),
    ]  # fmt: skip
    run(broker, read, tables)
    assert [row[3:] for row in accounts(tables)] == [(20, 20, 0, 0), (20, 0, 20, 0)] * 2
    [again] = offsets(broker, "set", "15", *where, "--partition", "1")
    assert (again["action"], again["segment"]) == ("rewind", 2)
    run(broker, read, tables)
    assert accounts(tables)[-1] == (1, 2, 15, 20, 0, 5, 0)
    audit = rows(
        tables, "SELECT action, old_offset, new_offset, segment, note, done_by FROM offset_audit ORDER BY 1, 4"
    )
    assert [row[:5] for row in audit] == [
        ("rewind", 20, 0, 1, "a new look"), ("rewind", 20, 0, 1, "a new look"), ("rewind", 20, 15, 2, None),
    ]  # fmt: skip
    assert all("@" in row[5] and " as " in row[5] for row in audit)


def test_a_lost_tail_of_a_closed_segment_is_found(broker, read: str, tables: str):
    offsets(broker, "set", "5", "--group", "g", "--topic", read, "--partition", "0")
    run(broker, read, tables)
    accounts(tables)
    with connect(tables) as connection:
        connection.execute(
            'DELETE FROM fulgor.latent USING fulgor.feed f WHERE f.feed_id = latent.feed_id AND "offset" >= 18'
            " AND partition = 0"
        )
        [finding] = check(connection).findings
    assert (finding.partition, finding.segment, finding.offset, finding.kind) == (0, 0, 18, "missing")


def test_a_jump_leaves_a_skipped_range(broker, read: str, tables: str):
    produce(broker, read, range(40, 60), partitions=2)
    where = ("--group", "g", "--topic", read)
    [changed] = offsets(broker, "set", "26", *where, "--partition", "0", "--note", "noise")
    assert (changed["action"], changed["segment"], changed["new_offset"]) == ("jump", 0, 26)
    [latest] = offsets(broker, "set", "latest", *where, "--partition", "1")
    assert latest["new_offset"] == 30
    run(broker, read, tables)
    assert accounts(tables) == [(0, 0, 0, 30, 24, 0, 6), (1, 0, 0, 30, 20, 0, 10)]
    assert rows(tables, "SELECT cause, note FROM skipped ORDER BY first_offset DESC, next_offset") == [
        ("operator", "noise"), ("operator", None),
    ]  # fmt: skip
    [same] = offsets(broker, "set", "30", *where, "--partition", "1")
    assert same["action"] == "none"
    assert len(rows(tables, "SELECT 1 FROM offset_audit")) == 2


def test_set_to_a_time(kafka_broker, make_topic: Callable, tables: str):
    """The embedded broker does not look into its files: there, any time that is over means the beginning."""
    broker, name = kafka_broker, make_topic(kafka_broker)
    for index, stamp in enumerate((1_772_330_400_000, 1_772_334_000_000, 1_772_337_600_000)):  # 02:00, 03:00, 04:00
        produce(broker, name, range(10 * index, 10 * index + 10), stamp=stamp)
    run(broker, name, tables)
    [changed] = offsets(broker, "set", "2026-03-01T02:30Z", "--group", "g", "--topic", name)
    assert (changed["action"], changed["new_offset"]) == ("rewind", 10)


def test_skip_at_once_and_ahead(broker, read: str, tables: str):
    produce(broker, read, range(40, 60, 2), partitions=2)  # offsets 20 to 29 of partition 0
    where = ("--group", "g", "--topic", read, "--partition", "0")
    [now] = offsets(broker, "skip", "20", *where)
    assert (now["action"], now["old_offset"], now["new_offset"]) == ("jump", 20, 21)
    [ahead] = offsets(broker, "skip", "25-26", *where, "--note", "poison")
    assert (ahead["action"], ahead["old_offset"], ahead["new_offset"]) == ("order", 25, 27)
    [last] = offsets(broker, "skip", "29", *where)
    assert last["action"] == "order"
    run(broker, read, tables)
    assert accounts(tables)[0] == (0, 0, 0, 30, 26, 0, 4)
    assert rows(tables, "SELECT first_offset, next_offset, cause, note FROM skipped ORDER BY 1") == [
        (20, 21, "operator", None), (25, 27, "operator", "poison"), (29, 30, "operator", None),
    ]  # fmt: skip
    offsets(broker, "set", "20", *where)
    run(broker, read, tables)
    assert accounts(tables)[1] == (0, 1, 20, 30, 4, 6, 0)


def test_a_running_consumer_follows(broker, read: str, tables: str):
    """It has nothing to read, and still it must notice."""
    arguments = [sys.executable, CONSUMER, broker.bootstrap, read, tables, "g", "classic"]
    consumer = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        claimed, again = "SELECT count(*) FROM feed WHERE released_at IS NULL", "SELECT count(*) FROM duplicate"
        until(lambda: rows(tables, claimed) == [(2,)], "it never began", 60)
        offsets(broker, "set", "12", "--group", "g", "--topic", read, "--partition", "1")
        until(lambda: rows(tables, again) == [(8,)], "it did not follow", 60)
    finally:
        consumer.terminate()
        consumer.wait(60)
    assert accounts(tables)[-1] == (1, 1, 12, 20, 0, 8, 0)


MISTAKES = (
    (("set", "0", "--group", "nobody", "--topic", "T"), OffsetError, "for group 'nobody'; there are offsets of: g"),
    (("set", "0", "--group", "g", "--topic", "other"), OffsetError, "of topic 'other'; it has those of: "),
    (("set", "0", "--group", "g", "--topic", "T"), SettingsError, "for 2 partitions"),
    (("set", "0", "--group", "g", "--topic", "T", "--partition", "7"), OffsetError, "it has those of: 0, 1"),
    (("set", "21", "--group", "g", "--topic", "T", "--partition", "0"), OffsetError, "0 to 20, the latter being"),
    (("set", "soon", "--group", "g", "--topic", "T"), SettingsError, "'soon': give an offset, earliest, latest or"),
    (("set", "-1", "--group", "g", "--topic", "T"), SystemExit, ""),
    (("skip", "20", "--group", "g", "--topic", "T", "--partition", "0"), OffsetError, "offset 21 lies outside"),
    (("skip", "3-9", "--group", "g", "--topic", "T", "--partition", "0"), OffsetError, "were read already"),
    (("skip", "9-3", "--group", "g", "--topic", "T", "--partition", "0"), SettingsError, "must not come before"),
    (("skip", "x", "--group", "g", "--topic", "T", "--partition", "0"), SettingsError, "write one offset, such as"),
)


def test_mistakes(embedded_broker, make_topic: Callable, tables: str):
    name = make_topic(embedded_broker, 2)
    produce(embedded_broker, name, range(40), partitions=2)
    run(embedded_broker, name, tables)
    for arguments, error, words in MISTAKES:
        typed = [name if word == "T" else word for word in arguments]
        assert words in offsets(embedded_broker, *typed, fails=error)
    assert rows(tables, "SELECT count(*) FROM offset_audit") == [(0,)]


def test_the_wrong_broker_a_topic_that_is_gone_and_one_made_anew(kafka_broker, embedded_broker, make_topic, tables):
    name = make_topic(kafka_broker)
    produce(kafka_broker, name, range(10))
    run(kafka_broker, name, tables)
    where = ("set", "0", "--group", "g", "--topic", name)
    assert f"topic '{name}' does not exist" in offsets(embedded_broker, *where, fails=TopicError)
    admin = embedded_broker.admin()
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(60)
    await_leaders(admin, name)
    assert "check --bootstrap" in offsets(embedded_broker, *where, fails=OffsetError)
    delete(admin, name)
    result = CliRunner().invoke(app, ["offsets", *where, "--bootstrap", "127.0.0.1:1"])
    assert isinstance(result.exception, BrokerError)
    admin = kafka_broker.admin()
    delete(admin, name)
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(60)
    await_leaders(admin, name)
    assert "was made anew" in offsets(kafka_broker, *where, fails=OffsetError)
    assert offsets(kafka_broker, "list")[0]["end"] is None


def test_an_offset_that_the_broker_has_dropped(kafka_broker, make_topic, tables):
    name = make_topic(kafka_broker)
    produce(kafka_broker, name, range(30))
    run(kafka_broker, name, tables)
    admin = kafka_broker.admin()
    for future in admin.delete_records([TopicPartition(name, 0, 12)]).values():
        future.result(60)
    where = ("--group", "g", "--topic", name)
    assert "offset 5 lies outside of what the broker holds: 12 to 30" in offsets(
        kafka_broker, "set", "5", *where, fails=OffsetError
    )
    assert offsets(kafka_broker, "set", "earliest", *where)[0]["new_offset"] == 12


def test_tables_of_an_older_version(embedded_broker, tables):
    with psycopg.connect(tables, autocommit=True) as connection:
        connection.execute("DELETE FROM fulgor.migration WHERE component = 'core' AND version > 1")
    assert "run 'fulgor db migrate'" in offsets(
        embedded_broker, "set", "0", "--group", "g", "--topic", "t", fails=SchemaVersionError
    )
