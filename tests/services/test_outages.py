"""The database goes away in the middle of the work and comes back: paused, resumed, nothing lost or doubled."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer
from toy import TABLE, message, record

from fulgor.embedded.postgres import EmbeddedPostgres
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate

pytestmark = [pytest.mark.services, pytest.mark.slow]

CONSUMER = Path(__file__).resolve().parents[1] / "support" / "toy_consumer.py"
MESSAGES = 4000
AWAY_S = 3.0


def stored(url: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT count(*) FROM fulgor.latent").fetchone()[0]


def test_postgres_killed_while_it_writes(broker, topic: Callable, tmp_path: Path):
    with EmbeddedPostgres.temporary(tmp_path / "home") as server:
        url = server.url()
        with connect(url, vectors=False) as connection:
            migrate(connection, [TABLE])
        name = topic(2)
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        padding = "x" * 2000
        for index in range(MESSAGES):
            producer.produce(name, message(record(index, padding=padding)), partition=index % 2)
        assert producer.flush(30) == 0

        protocol = "consumer" if broker.new_protocol else "classic"
        consumer = subprocess.Popen(
            [sys.executable, CONSUMER, broker.bootstrap, name, url, "g", protocol, "--until-end"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while stored(url) < 200:
            assert consumer.poll() is None, consumer.stderr.read()
            time.sleep(0.02)
        before = stored(url)
        server.kill()
        time.sleep(AWAY_S)
        assert consumer.poll() is None, "the consumer did not wait for its database"
        assert server.up() == url
        _, errors = consumer.communicate(timeout=90)
        assert consumer.returncode == 0, errors
        assert "is away, trying again" in errors
        assert before < MESSAGES, "the work was done before the database went away"

        with connect(url) as connection:
            row = connection.execute("SELECT count(*), count(DISTINCT alert) FROM fulgor.latent").fetchone()
            assert row == (MESSAGES, MESSAGES)
            assert connection.execute("SELECT count(*) FROM fulgor.duplicate").fetchone() == (0,)
            assert check(connection).closed
