"""Several processes from one command share a topic, and stop together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

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


@pytest.fixture
def start(tables: str) -> Iterator[Callable[[str, str], subprocess.Popen[str]]]:
    """Start ``fulgor consume ztf --workers 2``; what still runs when the test ends is ended, with its workers."""
    started: list[subprocess.Popen[str]] = []

    def run(bootstrap: str, topic: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "fulgor", "consume", "ztf", "--workers", "2"]
        process = subprocess.Popen(
            [*command, "--topic", topic, "--bootstrap", bootstrap], env=os.environ | {"FULGOR_DATABASE": tables},
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def owners(database: str) -> set[str]:
    with psycopg.connect(database) as connection:
        return {owner for (owner,) in connection.execute("SELECT owner FROM fulgor.feed WHERE owner IS NOT NULL")}


def stored(database: str) -> int:
    with psycopg.connect(database) as connection:
        return int(connection.execute("SELECT count(*) FROM fulgor.latent").fetchone()[0])


def await_(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_two_workers_share_a_topic_and_stop_together(broker, topic: Callable, tables: str, start: Callable):
    name = topic(4)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for index, alert in enumerate(simulate(ALERTS, 3)):
        producer.produce(name, encode([alert.record]), partition=index % 4)
    assert producer.flush(60) == 0

    running = start(broker.bootstrap, name)
    await_(lambda: len(owners(tables)) == 2, running)
    await_(lambda: stored(tables) == ALERTS, running)
    pids = [int(owner.split(":")[-1]) for owner in owners(tables)]
    running.send_signal(signal.SIGTERM)
    _, errors = running.communicate(timeout=300)
    assert running.returncode == 0, errors
    assert "Traceback" not in errors
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with connect(tables) as connection:
        assert check(connection).closed
        assert connection.execute("SELECT count(*) FROM fulgor.feed WHERE released_at IS NULL").fetchone() == (0,)


def test_a_worker_that_cannot_start_ends_the_command_with_its_code(start: Callable):
    running = start("127.0.0.1:1", "t")
    _, errors = running.communicate(timeout=300)
    assert running.returncode == 3, errors
    assert "Traceback" not in errors
    assert "check --bootstrap" in errors
