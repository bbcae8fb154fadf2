"""The servers behind the service tests are real: bytes go through them and come back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaError, Producer, TopicPartition

pytestmark = pytest.mark.services

SIZE_LIMIT = 16 * 2**20


def read(bootstrap: str, topic: str, partitions: int) -> list[Any]:
    """Read a topic to the end of each partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found, ends = [], 0
    while ends < partitions:
        message = consumer.poll(60)
        assert message is not None, "the broker is silent"
        if message.error() is None:
            found.append(message)
        else:
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            ends += 1
    consumer.close()
    return found


def produce(bootstrap: str, topic: str, values: list[bytes], partitions: int = 1) -> None:
    failures: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failures.append(error)

    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": SIZE_LIMIT})
    for number, value in enumerate(values):
        producer.produce(topic, value, partition=number % partitions, on_delivery=delivered)
    assert producer.flush(60) == 0
    assert not failures


def test_what_is_produced_is_consumed(broker: Any, topic: Callable[..., str]) -> None:
    name = topic(partitions=3)
    values = [f"alert {number}".encode() for number in range(9)]
    produce(broker.bootstrap, name, values, partitions=3)
    found = read(broker.bootstrap, name, 3)
    assert sorted(message.value() for message in found) == sorted(values)
    assert {message.partition() for message in found} == {0, 1, 2}


def test_a_message_near_the_size_limit_passes(broker: Any, topic: Callable[..., str]) -> None:
    name = topic(config={"max.message.bytes": str(SIZE_LIMIT)})
    value = bytes(SIZE_LIMIT - 2**16)
    produce(broker.bootstrap, name, [value])
    assert [len(message.value()) for message in read(broker.bootstrap, name, 1)] == [len(value)]


def test_append_time_where_the_broker_has_it(broker: Any, topic: Callable[..., str]) -> None:
    if not broker.append_time:
        pytest.skip(f"the {broker.kind} broker keeps the producer's time")
    name = topic(config={"message.timestamp.type": "LogAppendTime"})
    produce(broker.bootstrap, name, [b"alert"])
    [message] = read(broker.bootstrap, name, 1)
    kind, milliseconds = message.timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert abs(milliseconds / 1000 - time.time()) < 600


def test_topics_do_not_meet(broker: Any, topic: Callable[..., str]) -> None:
    first, second = topic(), topic()
    assert first != second
    produce(broker.bootstrap, first, [b"one"])
    produce(broker.bootstrap, second, [b"two"])
    assert [message.value() for message in read(broker.bootstrap, second, 1)] == [b"two"]


def test_databases_do_not_meet(database: str, postgres_url: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE fulgor_probe (x integer)")
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT to_regclass('fulgor_probe')").fetchone() == (None,)


def test_the_database_can_hold_vectors(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE EXTENSION vector")
        row = connection.execute("SELECT '[1,2,2]'::vector <-> '[1,2,4]'::vector").fetchone()
    assert row == (2.0,)
