"""Real servers for tests: a Postgres and two brokers, each started once, when first asked for.

FULGOR_TEST_DATABASE and FULGOR_TEST_BOOTSTRAP name servers of your own instead; nothing started
here outlives the test run, not even one ended by ``kill -9``.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, NewTopic, PartitionMetadata
from psycopg import sql

from fulgor.embedded.broker import EmbeddedBroker
from fulgor.embedded.lifetime import spawn_tied
from fulgor.embedded.postgres import EmbeddedPostgres

# Bounds of a wait that ends as soon as it can: a machine may stand still for as long, and nothing is wrong.
PATIENCE_S = 120
KAFKA = Path(__file__).resolve().parents[3] / "shared" / "kafka" / "kafka-server"
_SLOW = 6
EXTERNAL_KAFKA = os.environ.get("FULGOR_TEST_BOOTSTRAP")
EXTERNAL_POSTGRES = os.environ.get("FULGOR_TEST_DATABASE")


@dataclass(frozen=True)
class Broker:
    """A running broker, and what it can do.

    ``kind`` is ``embedded`` or ``kafka``; ``new_protocol`` means KIP-848 (``group.protocol=consumer``);
    ``append_time`` means that a topic can be made with ``message.timestamp.type=LogAppendTime``;
    ``sasl`` and ``sasl_ssl`` are its listeners for user ``fulgor``, password ``secret``, where it has them.
    """

    kind: str
    bootstrap: str
    new_protocol: bool
    append_time: bool
    sasl: str = ""
    sasl_ssl: str = ""
    ca: str = ""

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap})


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Postgres on which databases can be created: for tests that need no database of their own."""
    if EXTERNAL_POSTGRES:
        yield EXTERNAL_POSTGRES
        return
    with EmbeddedPostgres.temporary(tmp_path_factory.mktemp("postgres") / "home") as server:
        yield server.url()


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    """URL of a fresh, empty database (no extension, no schema), dropped afterwards with its sessions."""
    with _new_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def lasting_database(postgres_url: str) -> Iterator[str]:
    """The same, once for all tests that share its tables."""
    with _new_database(postgres_url) as url:
        yield url


@contextmanager
def _new_database(postgres_url: str) -> Iterator[str]:
    name = f"fulgor_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}", query=""))
        _drop(connection, name)


def _drop(connection: psycopg.Connection, name: str) -> None:
    """Drop a database; Postgres gives its sessions five seconds to end, and a slow machine may need more."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        except psycopg.errors.ObjectInUse:
            assert time.monotonic() < deadline, f"{name} is still in use"
        else:
            return


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[Broker]:
    """The product's own broker, shared by the run."""
    with EmbeddedBroker() as broker:
        yield Broker("embedded", broker.bootstrap, new_protocol=False, append_time=False)


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Apache Kafka, shared by the run; skipped where neither it nor an address is given."""
    if EXTERNAL_KAFKA:
        yield Broker("kafka", EXTERNAL_KAFKA, new_protocol=True, append_time=True)
        return
    if not KAFKA.exists():
        pytest.skip(f"no Apache Kafka: {KAFKA} is absent and FULGOR_TEST_BOOTSTRAP is not set")
    if shutil.which("java") is None:
        pytest.skip("no Apache Kafka: Java 17 is not installed and FULGOR_TEST_BOOTSTRAP is not set")
    for _ in range(3):
        folder = tmp_path_factory.mktemp("kafka")
        # Its start script leaves the broker behind; this guard ends it when the run ends, however it ends.
        guard = spawn_tied(
            ["/bin/sh", "-c", f'trap \'"{KAFKA}" wipe "{folder}"; exit\' TERM; while :; do sleep 1; done'],
            output=subprocess.DEVNULL,
            death_signal=signal.SIGTERM,
        )
        started = subprocess.run([KAFKA, "up", folder, "--sasl"], capture_output=True, text=True, check=False)
        if started.returncode == _SLOW:  # said once more, the script gives the addresses of what is on its way
            started = subprocess.run([KAFKA, "up", folder, "--sasl"], capture_output=True, text=True, check=False)
        if started.returncode == 0:
            break
        # A random cluster id may begin with a dash, which its own format tool refuses; and a port that was free when it
        # was chosen may be taken by the time that Java binds it.
        guard.terminate()
        guard.wait()
    assert started.returncode == 0, started.stderr
    bootstrap, *secured = started.stdout.split()
    addresses = dict(pair.split("=") for pair in secured)
    broker = Broker("kafka", bootstrap, new_protocol=True, append_time=True, ca=str(folder / "ca.pem"), **addresses)
    broker.admin().list_topics(timeout=PATIENCE_S)
    yield broker
    guard.terminate()
    guard.wait()


@pytest.fixture(params=["embedded", "kafka"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each broker in turn: what uses it runs on both."""
    found: Broker = request.getfixturevalue(f"{request.param}_broker")
    return found


@pytest.fixture
def any_broker(request: pytest.FixtureRequest) -> Broker:
    """For what does not depend on the broker: Apache Kafka where it is there, since its groups are joined at once."""
    there = EXTERNAL_KAFKA or (KAFKA.exists() and shutil.which("java"))
    found: Broker = request.getfixturevalue("kafka_broker" if there else "embedded_broker")
    return found


@pytest.fixture
def make_topic(request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Create topics on a given broker: ``make_topic(broker, partitions=1, config=None) -> name``."""
    made: list[tuple[AdminClient, str]] = []
    test = re.sub(r"[^a-zA-Z0-9_.-]+", "-", request.node.name)[:60]

    def make(broker: Broker, partitions: int = 1, config: dict[str, str] | None = None) -> str:
        admin, name = broker.admin(), f"{test}-{uuid.uuid4().hex[:8]}"
        # Kafka deletes what is a week old, within a second here, and some messages of the tests are.
        kept = {"retention.ms": "-1"} if broker.kind == "kafka" else {}
        new = NewTopic(name, num_partitions=partitions, replication_factor=1, config={**kept, **(config or {})})
        admin.create_topics([new])[name].result(PATIENCE_S)
        made.append((admin, name))
        await_leaders(admin, name, partitions)
        return name

    yield make
    for admin, name in made:
        admin.delete_topics([name])[name].result(PATIENCE_S)


@pytest.fixture
def topic(broker: Broker, make_topic: Callable[..., str]) -> Callable[..., str]:
    """Create topics on the test's broker: ``topic(partitions=1, config=None) -> name``."""

    def make(partitions: int = 1, config: dict[str, str] | None = None) -> str:
        return make_topic(broker, partitions, config)

    return make


def await_leaders(admin: AdminClient, name: str, partitions: int = 1) -> None:
    """Wait until every partition of a new topic can be written to: creation is not instant on Kafka."""

    def led(found: dict[int, PartitionMetadata]) -> bool:
        return len(found) == partitions and all(part.leader >= 0 for part in found.values())

    _await_partitions(admin, name, led, "has no leaders")


def delete(admin: AdminClient, name: str) -> None:
    """Delete a topic and wait until the broker says so to everybody: nor is that instant."""
    admin.delete_topics([name])[name].result(PATIENCE_S)
    _await_partitions(admin, name, lambda found: not found, "is still there")


def _await_partitions(
    admin: AdminClient, name: str, wanted: Callable[[dict[int, PartitionMetadata]], bool], otherwise: str
) -> None:
    """Look at what the broker tells of all topics: one that is asked for by its name may be made by the question."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        topic = admin.list_topics(timeout=PATIENCE_S).topics.get(name)
        if wanted(topic.partitions if topic is not None else {}):
            return
        assert time.monotonic() < deadline, f"topic {name} {otherwise} after {PATIENCE_S} s"
        time.sleep(0.02)
