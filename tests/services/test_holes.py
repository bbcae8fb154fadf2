"""Offsets without a message, made by the real things: transactions and compaction on Apache Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from toy import TABLE, ToyPredictor, ToyStream, message, record

from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.settings import Settings
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate

pytestmark = pytest.mark.services


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    return database


def run(broker, topic: str, database: str, **kafka: str) -> list[tuple]:
    """Read everything; the ledger closes; return the skipped ranges."""
    settings = Settings(bootstrap=broker.bootstrap, group_protocol="classic", kafka=kafka)
    what = Consumption(ToyStream(), ToyPredictor(), database, "g")
    consume(what, lambda: kafka_source(settings, topic, "g"), settings, title="toy", until_end=True)
    with connect(database) as connection:
        assert list(check(connection).findings) == []
    with psycopg.connect(database) as connection:
        return connection.execute("SELECT first_offset, next_offset, cause FROM fulgor.skipped ORDER BY 1").fetchall()


def transactions(broker, topic: str) -> None:
    """Offsets 0-2 and the marker 3 committed, 4-6 and 7 aborted, 8-9 and 10 committed."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": topic})
    producer.init_transactions(60)
    for first, count, committed in ((0, 3, True), (3, 3, False), (6, 2, True)):
        producer.begin_transaction()
        for index in range(first, first + count):
            producer.produce(topic, message(record(index)))
        producer.flush(60)
        (producer.commit_transaction if committed else producer.abort_transaction)(60)


@pytest.mark.parametrize(
    ("isolation", "found", "stored"),
    [
        ("read_committed", [(3, 8, "unknown"), (10, 11, "marker")], 5),
        ("read_uncommitted", [(3, 4, "marker"), (7, 8, "marker"), (10, 11, "marker")], 8),
    ],
)
def test_transactions(kafka_broker, make_topic: Callable, tables: str, isolation: str, found, stored: int):
    name = make_topic(kafka_broker)
    transactions(kafka_broker, name)
    assert run(kafka_broker, name, tables, **{"isolation.level": isolation}) == found
    with psycopg.connect(tables) as connection:
        assert connection.execute("SELECT count(*) FROM fulgor.latent").fetchone() == (stored,)


def test_each_commit_between_messages_is_a_marker(kafka_broker, make_topic: Callable, tables: str):
    name = make_topic(kafka_broker)
    producer = Producer({"bootstrap.servers": kafka_broker.bootstrap, "transactional.id": name})
    producer.init_transactions(60)
    for index in range(3):
        producer.begin_transaction()
        producer.produce(name, message(record(index)))
        producer.commit_transaction(60)
    assert run(kafka_broker, name, tables) == [(1, 2, "marker"), (3, 4, "marker"), (5, 6, "marker")]


@pytest.mark.slow
def test_compaction(kafka_broker, make_topic: Callable, tables: str):
    config = {
        "cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001",
        "max.compaction.lag.ms": "100", "delete.retention.ms": "0",
    }  # fmt: skip
    name = make_topic(kafka_broker, 1, config)
    producer = Producer({"bootstrap.servers": kafka_broker.bootstrap})
    for index in range(10):
        producer.produce(name, message(record(index)), key=b"same" if 2 <= index < 8 else b"%d" % index)
        producer.flush(60)
        time.sleep(0.15)  # a segment each: the last one is never compacted
    _await_compaction(kafka_broker, name, 5)
    assert run(kafka_broker, name, tables) == [(2, 7, "compacted")]


def _await_compaction(broker, topic: str, left: int) -> None:
    deadline = time.monotonic() + 90
    while (offsets := _offsets(broker, topic)) and len(offsets) != left:
        if time.monotonic() > deadline:
            pytest.skip(f"the broker did not compact within 90 s: {offsets}")
        time.sleep(1)


def _offsets(broker, topic: str) -> list[int]:
    reader = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "look", "enable.partition.eof": True})
    reader.assign([TopicPartition(topic, 0, 0)])
    found = []
    while (one := reader.poll(60)) is not None and one.error() is None:
        found.append(one.offset())
    reader.close()
    assert one is not None, "the broker is silent"
    return found
