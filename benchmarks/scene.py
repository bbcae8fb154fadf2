"""A broker, a database and consumers of the toy stream as processes of their own, for benchmarks that kill them."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Event

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

SUPPORT = Path(__file__).resolve().parents[1] / "tests" / "support"
sys.path.insert(0, str(SUPPORT))

from faulty_consumer import POINTS  # noqa: E402
from toy import TABLE, message, record  # noqa: E402

from fulgor.embedded.lifetime import spawn_tied  # noqa: E402
from fulgor.embedded.postgres import EmbeddedPostgres  # noqa: E402
from fulgor.errors import BrokerError, DatabaseError, TopicError  # noqa: E402
from fulgor.storage.database import connect  # noqa: E402
from fulgor.storage.ledger import check  # noqa: E402
from fulgor.storage.migrate import migrate  # noqa: E402

__all__ = ["PARTITIONS", "POINTS", "FaultError", "Scene", "audit", "by_protocol", "finish", "keep_producing", "until"]

PARTITIONS = 6
RATE = 200
PATIENCE_S = 150.0
# Finished, killed, or told to stop before it could listen.
ENDS = (0, -signal.SIGKILL, -signal.SIGTERM)
# Who starts while a service is away is refused at once, and whoever keeps processes running starts it again.
REFUSED = (BrokerError.exit_code, TopicError.exit_code, DatabaseError.exit_code)


class FaultError(Exception):
    """A promise that was not kept."""


class Scene:
    """The broker, the database and the consumers of one run."""

    def __init__(self, arguments: argparse.Namespace, protocol: str, work: Path, server: EmbeddedPostgres) -> None:
        self.kafka, self.folder, self.protocol, self.server = arguments.kafka, work, protocol, server
        self.chance = random.Random(arguments.seed)
        self.bootstrap = arguments.bootstrap or self.start_kafka()
        self.topic, self.url = f"chaos-{uuid.uuid4().hex[:6]}", server.url()
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])[self.topic].result(15)
        with connect(self.url, vectors=False) as connection:
            migrate(connection, [TABLE])
        self.consumers: list[subprocess.Popen[bytes]] = []
        self.logs: dict[int, Path] = {}
        self.refused = 0
        self.sent = 0
        self.delivered: set[int] = set()

    def start_kafka(self) -> str:
        done = subprocess.run([self.kafka, "up", self.folder / "kafka"], check=True, capture_output=True, text=True)
        return done.stdout.split()[0]

    def kill_kafka(self) -> None:
        subprocess.run([self.kafka, "kill", self.folder / "kafka"], check=True)

    def start_consumer(self, *extra: str) -> subprocess.Popen[bytes]:
        script = "faulty_consumer.py" if extra and extra[0] in POINTS else "toy_consumer.py"
        log = self.folder / f"consumer-{len(self.logs)}.log"
        where = [self.bootstrap, self.topic, self.url, self.topic, self.protocol]
        with log.open("wb") as errors:
            consumer = spawn_tied([sys.executable, SUPPORT / script, *where, *extra], output=errors)
        self.logs[consumer.pid] = log
        self.consumers.append(consumer)
        return consumer

    def keep_two(self) -> None:
        for consumer in [c for c in self.consumers if c.poll() is not None]:
            self.judge(consumer)
            self.consumers.remove(consumer)
        while len(self.consumers) < 2:
            self.start_consumer()

    def judge(self, consumer: subprocess.Popen[bytes]) -> None:
        """Accept a consumer that was killed, stopped or finished, or was refused before it had anything."""
        said = self.logs[consumer.pid].read_text()
        if consumer.returncode in REFUSED and "reading: " not in said:
            self.refused += 1
        elif consumer.returncode not in ENDS:
            raise FaultError(f"a consumer ended with code {consumer.returncode}:\n{said[-4000:]}")

    def query(self, query: str) -> list[tuple[int, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()

    def places(self) -> dict[int, int]:
        return dict(self.query("SELECT partition, next_offset FROM fulgor.feed WHERE next_offset IS NOT NULL"))

    def owned(self, consumer: subprocess.Popen[bytes]) -> bool:
        found = self.query(f"SELECT count(*) FROM fulgor.feed WHERE owner LIKE '%:{consumer.pid}'")
        return found[0][0] > 0

    def recover(self) -> float:
        """Wait until every partition has moved on from where it is now; return how long that took."""
        started, before = time.monotonic(), self.places()

        def moved() -> bool:
            self.keep_two()
            now = self.places()
            return len(now) == PARTITIONS and all(offset > before.get(number, -1) for number, offset in now.items())

        until(moved, "some partitions are served by nobody")
        return time.monotonic() - started


def until(condition: Callable[[], object], otherwise: str, patience_s: float = PATIENCE_S) -> None:
    give_up = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > give_up:
            raise FaultError(f"{otherwise} for {patience_s:.0f} s")
        time.sleep(0.05)


def keep_producing(scene: Scene, stopping: Event) -> None:
    """Send messages, on a thread of its own, and note which of them the broker acknowledged."""
    producer = Producer({"bootstrap.servers": scene.bootstrap, "enable.idempotence": True, "log_level": 0})
    while not stopping.is_set():
        producer.produce(
            scene.topic, message(record(scene.sent)), partition=scene.sent % PARTITIONS,
            on_delivery=lambda error, _, identity=scene.sent: None if error else scene.delivered.add(identity),
        )  # fmt: skip
        scene.sent += 1
        producer.poll(0)
        time.sleep(1 / RATE)
    producer.flush(120)


def finish(scene: Scene) -> None:
    """End everybody, and let a last consumer read what is left."""
    for consumer in scene.consumers:
        consumer.terminate()
    for consumer in scene.consumers:
        consumer.wait(120)
        scene.judge(consumer)
    last = scene.start_consumer("--until-end")
    if last.wait(300):
        said = scene.logs[last.pid].read_text()[-4000:]
        raise FaultError(f"the last consumer ended with code {last.returncode}:\n{said}")


def audit(scene: Scene) -> list[str]:
    """Count what is stored, print it, and return what is wrong."""
    with connect(scene.url) as connection:
        stored = Counter(int(alert) for (alert,) in connection.execute("SELECT alert FROM fulgor.latent").fetchall())
        noted = connection.execute(
            "SELECT (SELECT count(*) FROM fulgor.duplicate), (SELECT count(*) FROM fulgor.dead_letter),"
            " (SELECT count(*) FROM fulgor.skipped)"
        ).fetchone()
        ledger = check(connection)
    lost, doubled = sorted(scene.delivered - stored.keys()), stored.total() - len(stored)
    places = scene.places()
    behind = {number: (places.get(number), end) for number, end in _ends(scene).items() if places.get(number) != end}
    print(f"{scene.sent} messages sent, {len(scene.delivered)} acknowledged, {stored.total()} rows")
    print(f"lost {len(lost)}, doubled {doubled}; duplicates, dead, holes {noted}; ledger closed: {ledger.closed}")
    wrong = {
        f"{len(lost)} messages are lost: {lost[:20]}": lost,
        f"{doubled} rows are doubled": doubled,
        f"duplicates, dead letters and holes {noted}: nobody sent any": any(noted),
        f"the ledger does not close: {ledger.findings[:1]}": not ledger.closed,
        f"partitions read up to, and their ends: {behind}": behind,
    }
    tracebacks = [str(log) for log in scene.logs.values() if "Traceback" in log.read_text()]
    return [text for text, found in wrong.items() if found] + [f"a traceback in {log}" for log in tracebacks]


def _ends(scene: Scene) -> dict[int, int]:
    reader = Consumer({"bootstrap.servers": scene.bootstrap, "group.id": "ends"})
    found = {n: reader.get_watermark_offsets(TopicPartition(scene.topic, n), timeout=10)[1] for n in range(PARTITIONS)}
    reader.close()
    return found


def by_protocol(arguments: argparse.Namespace, run: Callable[[argparse.Namespace, str, Path], list[str]]) -> int:
    """Run something under the chosen group protocol, else under one after the other; return the exit code.

    What `run` finds to be wrong is printed, and the folder of such a run is kept.
    """
    faults: list[str] = []
    for protocol in [arguments.protocol] if arguments.protocol else ["consumer", "classic"]:
        work = Path(tempfile.mkdtemp(prefix="fulgor-scene-"))
        if found := run(arguments, protocol, work):
            faults += [*found, f"logs of protocol {protocol}: {work}"]
        else:
            shutil.rmtree(work)
    for fault in faults:
        print(f"FAULT: {fault}", flush=True)
    return 1 if faults else 0
