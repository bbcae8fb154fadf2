"""kill -9 at random moments: nothing lost, nothing doubled, on both brokers and both group protocols."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer
from toy import TABLE, message, record

from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate

pytestmark = [pytest.mark.services, pytest.mark.slow]

CONSUMER = Path(__file__).resolve().parents[1] / "support" / "toy_consumer.py"
MESSAGES = 3000
KILLS = 2


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, CONSUMER, *arguments], stderr=subprocess.PIPE)


def stored(database: str) -> int:
    with psycopg.connect(database) as connection:
        return connection.execute("SELECT count(*) FROM fulgor.latent").fetchone()[0]


def produce(broker, topic: str, indices: range) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for index in indices:
        producer.produce(topic, message(record(index, padding="x" * 2000)), partition=index % 2)
    assert producer.flush(60) == 0


def kill_while_it_works(arguments: tuple[str, ...], database: str, chance: random.Random) -> None:
    """Kill a consumer a random moment after its first rows of this life."""
    before = stored(database)
    process = start(*arguments)
    deadline = time.monotonic() + 120
    while stored(database) == before:
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline, "the consumer stored nothing within two minutes"
        time.sleep(0.02)
    time.sleep(chance.uniform(0, 0.15))
    process.kill()
    process.communicate()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_kill_9_neither_loses_nor_doubles(broker, topic: Callable, database: str, protocol: str):
    if protocol == "consumer" and not broker.new_protocol:
        pytest.skip("this broker has no KIP-848")
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    name, chance = topic(partitions=2), random.Random(7)
    lives = [range(first, first + MESSAGES // (KILLS + 1)) for first in range(0, MESSAGES, MESSAGES // (KILLS + 1))]

    arguments = (broker.bootstrap, name, database, "g", protocol)
    for messages in lives[:-1]:
        produce(broker, name, messages)  # a life may have stored all that there was
        kill_while_it_works(arguments, database, chance)
    produce(broker, name, lives[-1])
    last = start(*arguments, "--until-end")
    _, errors = last.communicate(timeout=300)
    assert last.returncode == 0, errors.decode()

    with psycopg.connect(database) as connection:
        ids = connection.execute("SELECT count(*), count(DISTINCT alert) FROM fulgor.latent").fetchone()
        assert ids == (MESSAGES, MESSAGES)
        assert connection.execute("SELECT count(*) FROM fulgor.duplicate").fetchone() == (0,)
    with connect(database) as connection:
        assert check(connection).closed
