"""What tests of the engine share: a topic of toys, consumers of it as processes of their own, and the reckoning."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from confluent_kafka import Producer
from toy import message, record

from fulgor.storage.database import connect
from fulgor.storage.ledger import check

CONSUMER = Path(__file__).with_name("toy_consumer.py")


def produce(bootstrap: str, topic: str, identities: range, partitions: int = 1, **fields: object) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "topic.metadata.refresh.interval.ms": 200})
    for index, identity in enumerate(identities):
        producer.produce(topic, message(record(identity, **fields)), partition=index % partitions)
    assert producer.flush(60) == 0


def start(
    bootstrap: str, topic: str, database: str, protocol: str, *extra: str, **environment: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, CONSUMER, bootstrap, topic, database, "g", protocol, *extra],
        env=os.environ | environment, stderr=subprocess.PIPE, text=True,
        pipesize=1 << 20,  # read at the end only: one that fills it would stand still
    )  # fmt: skip


def finish(consumer: subprocess.Popen[str], timeout: float = 300) -> str:
    """Wait for a consumer's end in good order and return what it said."""
    try:
        _, said = consumer.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        consumer.kill()
        _, said = consumer.communicate()
        raise AssertionError(f"it did not end:\n{said[-4000:]}") from None
    assert consumer.returncode == 0, said[-4000:]
    return said


@contextmanager
def consuming(
    bootstrap: str, topic: str, database: str, protocol: str, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a consumer; unless it was killed, it must leave in good order at the end."""
    consumer = start(bootstrap, topic, database, protocol, **environment)
    try:
        yield consumer
        if consumer.returncode is None:
            consumer.terminate()
            finish(consumer)
    finally:
        consumer.kill()
        if consumer.stderr is not None and not consumer.stderr.closed:
            print(consumer.communicate()[1][-4000:])


def count(database: str, table: str = "fulgor.latent") -> int:
    return int(query(database, f"SELECT count(*) FROM {table}")[0][0])


def query(database: str, statement: str) -> list[tuple]:
    with psycopg.connect(database, autocommit=True) as connection:
        return connection.execute(statement).fetchall()


def execute(database: str, statements: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(statements)


def stored_once(database: str) -> list[int]:
    """The ledger closes and nothing came twice; return what is stored."""
    with connect(database) as connection:
        assert check(connection).findings == []
        assert connection.execute("SELECT count(*) FROM fulgor.duplicate").fetchone() == (0,)
        return [int(str(a)) for (a,) in connection.execute("SELECT alert FROM fulgor.latent ORDER BY alert::int")]
