"""A message that kills the process is found, quarantined, and costs nothing else."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer
from toy import TABLE, message, record

from fulgor.consumer.poison import CLAIMS, TRIALS
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate

pytestmark = [pytest.mark.services, pytest.mark.slow]

CONSUMER = Path(__file__).resolve().parents[1] / "support" / "toy_consumer.py"
POISON = 57


def test_a_message_that_kills_the_process_is_quarantined(embedded_broker, make_topic: Callable, database: str):
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    name = make_topic(embedded_broker)
    producer = Producer({"bootstrap.servers": embedded_broker.bootstrap})
    for index in range(100):
        producer.produce(name, message(record(index), **({"break": "kill"} if index == POISON else {})))
    assert producer.flush(60) == 0

    deaths = 0
    while True:
        done = subprocess.run(
            [sys.executable, CONSUMER, embedded_broker.bootstrap, name, database, "g", "classic", "--until-end"],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        deaths += 1
        assert deaths <= CLAIMS - 1 + TRIALS, "it should have been found by now"

    with psycopg.connect(database) as connection:
        [(place, kind, reason)] = connection.execute(
            'SELECT "offset", error_class, reason FROM fulgor.dead_letters'
        ).fetchall()
        alerts = {alert for (alert,) in connection.execute("SELECT alert FROM fulgor.latent")}
    assert (place, kind) == (POISON, "poison")
    assert "died 2 times" in reason
    assert alerts == {str(index) for index in range(100)} - {str(POISON)}
    with connect(database) as connection:
        assert check(connection).closed
