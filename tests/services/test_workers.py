"""Several processes from one command share a topic, and stop together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psycopg
import pytest
from confluent_kafka import Producer

from fulgor.replay.simulate.ztf import encode, simulate
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate
from fulgor.streams.registry import stream_table

pytestmark = [pytest.mark.services, pytest.mark.slow]

ALERTS = 60


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [stream_table("ztf")])
    return database


def start(bootstrap: str, topic: str, database: str, *flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fulgor", "consume", "ztf", "--workers", "2", "--topic", topic, "--bootstrap", bootstrap,
         *flags],
        env=os.environ | {"FULGOR_DATABASE": database, "FULGOR_SESSION_TIMEOUT_MS": "6000"},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def owners(database: str) -> set[str]:
    with psycopg.connect(database) as connection:
        return {owner for (owner,) in connection.execute("SELECT owner FROM fulgor.feed WHERE owner IS NOT NULL")}


@pytest.mark.timeout(180)
def test_two_workers_share_a_topic_and_stop_together(broker, topic: Callable, tables: str):
    name = topic(4)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for index, alert in enumerate(simulate(ALERTS, 3)):
        producer.produce(name, encode([alert.record]), partition=index % 4)
    assert producer.flush(20) == 0

    running = start(broker.bootstrap, name, tables)
    deadline = time.monotonic() + 90
    while len(owners(tables)) < 2:
        assert running.poll() is None, running.stderr.read()
        assert time.monotonic() < deadline, "the second worker was given no partition"
        time.sleep(0.1)
    with psycopg.connect(tables, autocommit=True) as connection:
        while connection.execute("SELECT count(*) FROM fulgor.latent").fetchone() != (ALERTS,):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    pids = [int(owner.split(":")[-1]) for owner in owners(tables)]
    running.send_signal(signal.SIGTERM)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    assert "Traceback" not in errors
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with connect(tables) as connection:
        assert check(connection).closed
        assert connection.execute("SELECT count(*) FROM fulgor.feed WHERE released_at IS NULL").fetchone() == (0,)


def test_a_worker_that_cannot_start_ends_the_command_with_its_code(tables: str):
    running = start("127.0.0.1:1", "t", tables)
    _, errors = running.communicate(timeout=90)
    assert running.returncode == 3, errors
    assert "Traceback" not in errors
    assert "check --bootstrap" in errors
