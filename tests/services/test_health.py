"""Health and readiness of real consumers: waiting for partitions, without a database, stopped in mid-air."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from confluent_kafka import Producer
from live import consumer, get, until
from psycopg import sql

from fulgor.replay.simulate.ztf import encode, simulate
from fulgor.storage.database import connect
from fulgor.storage.migrate import migrate
from fulgor.streams.registry import stream_table

pytestmark = pytest.mark.services


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [stream_table("ztf")])
    return database


def environment(database: str, protocol: str = "auto") -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FULGOR_")}
    return kept | {"FULGOR_DATABASE": database, "FULGOR_GROUP_PROTOCOL": protocol}


@contextmanager
def away(database: str, postgres: str) -> Iterator[None]:
    """Let nobody into a database, and throw out who is in."""
    name = urlsplit(database).path[1:]
    with psycopg.connect(postgres, autocommit=True) as connection:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        connection.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            connection.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_member_without_partitions_is_ready(broker, topic: Callable, tables: str, tmp_path: Path, protocol: str):
    if protocol == "consumer" and not broker.new_protocol:
        pytest.skip("this broker has no KIP-848")
    words = ["--bootstrap", broker.bootstrap, "--topic", topic()]
    variables = environment(tables, protocol)
    with (
        consumer(words, variables, tmp_path / "first") as (_, first),
        consumer(words, variables, tmp_path / "second") as (_, second),
    ):
        for port in (first, second):
            until(lambda port=port: get(port, "/readyz")[0] == 200, f"not ready: {get(port, '/readyz')}")
            assert get(port, "/healthz")[0] == 200


def test_a_database_that_goes_away_and_comes_back(
    embedded_broker, make_topic: Callable, tables: str, postgres_url: str, tmp_path: Path
):
    name = make_topic(embedded_broker)
    words = ["--bootstrap", embedded_broker.bootstrap, "--topic", name]
    with consumer(words, environment(tables), tmp_path / "log") as (_, port):
        until(lambda: get(port, "/readyz")[0] == 200, "never ready")
        with away(tables, postgres_url):
            producer = Producer({"bootstrap.servers": embedded_broker.bootstrap})
            producer.produce(name, encode([next(iter(simulate(1, 1))).record]))
            assert producer.flush(60) == 0
            expected = {"ok": False, "reason": "the database did not answer last"}
            until(lambda: json.loads(get(port, "/readyz")[1]) == expected, "ready without a database")
            assert get(port, "/readyz")[0] == 503
            assert get(port, "/healthz")[0] == 200
            page = get(port, "/metrics")[1]
            assert "fulgor_database_up 0.0" in page
            assert "fulgor_database_retries_total 0.0" not in page
            until(lambda: "fulgor_oldest_pending_seconds 0.0" not in get(port, "/metrics")[1], "nothing is pending")
        until(lambda: get(port, "/readyz")[0] == 200, "not ready again")
        until(lambda: 'outcome="stored"} 1.0' in get(port, "/metrics")[1], "not stored")
        until(lambda: "fulgor_oldest_pending_seconds 0.0" in get(port, "/metrics")[1], "still pending")
        assert 'fulgor_stage_items_total{stage="write"} 1.0' in get(port, "/metrics")[1]


def test_a_stopped_process_does_not_answer_and_is_well_afterwards(
    embedded_broker, make_topic: Callable, tables: str, tmp_path: Path
):
    words = ["--bootstrap", embedded_broker.bootstrap, "--topic", make_topic(embedded_broker)]
    with consumer(words, environment(tables), tmp_path / "log") as (process, port):
        until(lambda: get(port, "/readyz")[0] == 200, "never ready")
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)  # all its threads: one may go on for a while
        with pytest.raises(TimeoutError):
            get(port, "/healthz", 1)
        process.send_signal(signal.SIGCONT)
        until(lambda: get(port, "/healthz")[0] == 200, "not healthy again")


def test_more_workers_than_partitions_end_too(kafka_broker, make_topic: Callable, tables: str):
    """The second is given the partition once the first has left, and finds it done."""
    words = ["--bootstrap", kafka_broker.bootstrap, "--topic", make_topic(kafka_broker), "--workers", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "fulgor", "consume", "ztf", "--until-end", *words],
        env=environment(tables, "consumer"), capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
