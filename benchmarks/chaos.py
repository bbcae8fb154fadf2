"""Seeded deaths at named points and at random, of consumers, Postgres and Apache Kafka, while consumers join and leave.

    python benchmarks/chaos.py --kafka ../shared/kafka/kafka-server --rounds 60

Two consumers run all the time; a round kills one of them at a named fault point or at random, stops one past its
session time-out and lets it go on, lets a third join and leave, or kills the database or the broker, which come back.
Messages keep arriving. At the end every message must be stored once and the ledger must close.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

SUPPORT = Path(__file__).resolve().parents[1] / "tests" / "support"
sys.path.insert(0, str(SUPPORT))

from faulty_consumer import POINTS  # noqa: E402
from toy import TABLE, message, record  # noqa: E402

from fulgor.embedded.postgres import EmbeddedPostgres  # noqa: E402
from fulgor.storage.database import connect  # noqa: E402
from fulgor.storage.ledger import check  # noqa: E402
from fulgor.storage.migrate import migrate  # noqa: E402

PARTITIONS = 6
RATE = 200
# Finished, killed, or told to stop before it could listen.
ENDS = (0, -signal.SIGKILL, -signal.SIGTERM)
DEEDS = ["point"] * 6 + ["random"] * 4 + ["stop"] * 2 + ["join"] * 2 + ["postgres"] + ["kafka"]


class Scene:
    """The broker, the database and the consumers of one run."""

    def __init__(
        self, kafka: str, folder: Path, protocol: str, chance: random.Random, server: EmbeddedPostgres
    ) -> None:
        self.kafka, self.folder, self.protocol, self.chance, self.server = kafka, folder, protocol, chance, server
        self.bootstrap = self.start_kafka()
        self.topic, self.url = f"chaos-{uuid.uuid4().hex[:6]}", server.url()
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])[self.topic].result(15)
        with connect(self.url, vectors=False) as connection:
            migrate(connection, [TABLE])
        self.consumers: list[subprocess.Popen[bytes]] = []
        self.longest = 0.0
        self.delivered: set[int] = set()
        self.logs: dict[int, Path] = {}

    def start_kafka(self) -> str:
        done = subprocess.run([self.kafka, "up", self.folder], check=True, capture_output=True, text=True)
        return done.stdout.split()[0]

    def start_consumer(self, *extra: str) -> subprocess.Popen[bytes]:
        script = "faulty_consumer.py" if extra and extra[0] in POINTS else "toy_consumer.py"
        log = self.folder / f"consumer-{len(self.logs)}.log"
        where = [self.bootstrap, self.topic, self.url, "chaos", self.protocol]
        with log.open("wb") as errors:
            consumer = subprocess.Popen([sys.executable, SUPPORT / script, *where, *extra], stderr=errors)
        self.logs[consumer.pid] = log
        self.consumers.append(consumer)
        return consumer

    def stored(self) -> int:
        with psycopg.connect(self.url) as connection:
            return connection.execute("SELECT count(*) FROM fulgor.latent").fetchone()[0]

    def keep_two(self) -> None:
        for consumer in [c for c in self.consumers if c.poll() is not None]:
            if consumer.returncode not in ENDS:
                raise SystemExit(
                    f"a consumer ended with code {consumer.returncode}:\n{self.logs[consumer.pid].read_text()}"
                )
            self.consumers.remove(consumer)
        while len(self.consumers) < 2:
            self.start_consumer()

    def wait_for_progress(self, timeout: float = 120) -> None:
        started, before = time.monotonic(), self.stored()
        while self.stored() == before:
            self.keep_two()
            if time.monotonic() - started > timeout:
                raise SystemExit(f"nothing stored for {timeout:.0f} s")
            time.sleep(0.05)
        self.longest = max(self.longest, time.monotonic() - started)

    def deed(self, kind: str) -> str:
        victim = self.chance.choice(self.consumers)
        if kind == "point":
            point = self.chance.choice(list(POINTS))
            self.start_consumer(point, str(self.chance.randint(1, 20)))
            time.sleep(self.chance.uniform(2, 4))
            return point
        if kind == "random":
            victim.kill()
            victim.wait()
        elif kind == "stop":
            victim.send_signal(signal.SIGSTOP)
            time.sleep(4.5)  # past the session time-out of 3 s
            victim.send_signal(signal.SIGCONT)
        elif kind == "join":
            third = self.start_consumer()
            time.sleep(2)
            third.terminate()
            third.wait(60)
        elif kind == "postgres":
            self.server.kill()
            time.sleep(self.chance.uniform(0, 2))
            self.server.up()
        else:
            subprocess.run([self.kafka, "kill", self.folder], check=True)
            self.start_kafka()
        return kind


def keep_producing(scene: Scene, stopping: Event, sent: list[int]) -> None:
    producer = Producer({"bootstrap.servers": scene.bootstrap, "enable.idempotence": True, "log_level": 0})
    while not stopping.is_set():
        identity = sent[0]
        producer.produce(
            scene.topic, message(record(identity)), partition=identity % PARTITIONS,
            on_delivery=lambda error, _, identity=identity: None if error else scene.delivered.add(identity),
        )  # fmt: skip
        sent[0] += 1
        producer.poll(0)
        time.sleep(1 / RATE)
    if producer.flush(120):
        raise SystemExit("the producer could not deliver everything")


def run(arguments: argparse.Namespace, protocol: str) -> None:
    chance = random.Random(arguments.seed)
    done: Counter[str] = Counter()
    with ExitStack() as stack:
        work = stack.enter_context(tempfile.TemporaryDirectory(prefix="fulgor-chaos-", ignore_cleanup_errors=True))
        server = stack.enter_context(EmbeddedPostgres.temporary(Path(work) / "postgres"))
        scene = Scene(arguments.kafka, Path(work) / "kafka", protocol, chance, server)
        stopping, sent = Event(), [0]
        producing = Thread(target=keep_producing, args=(scene, stopping, sent))
        producing.start()
        try:
            scene.keep_two()
            scene.wait_for_progress()
            for _ in range(arguments.rounds):
                done[scene.deed(chance.choice(DEEDS))] += 1
                scene.wait_for_progress()
        finally:
            stopping.set()
            producing.join()
            for consumer in scene.consumers:
                consumer.terminate()
        for consumer in scene.consumers:
            if consumer.wait(60) not in ENDS:
                raise SystemExit(f"code {consumer.returncode} at the end:\n{scene.logs[consumer.pid].read_text()}")
        last = scene.start_consumer("--until-end")
        if last.wait(300):
            raise SystemExit(
                f"the last consumer ended with code {last.returncode}:\n{scene.logs[last.pid].read_text()}"
            )
        report(scene, protocol, sent[0], done)
        subprocess.run([arguments.kafka, "wipe", scene.folder], check=False)


def ends(scene: Scene) -> dict[int, int]:
    """Return where each partition of the topic ends."""
    reader = Consumer({"bootstrap.servers": scene.bootstrap, "group.id": "ends"})
    found = {n: reader.get_watermark_offsets(TopicPartition(scene.topic, n), timeout=10)[1] for n in range(PARTITIONS)}
    reader.close()
    return found


def report(scene: Scene, protocol: str, sent: int, done: Counter[str]) -> None:
    with connect(scene.url) as connection:
        stored = [int(alert) for (alert,) in connection.execute("SELECT alert FROM fulgor.latent").fetchall()]
        places = connection.execute("SELECT partition, next_offset FROM fulgor.feed ORDER BY partition").fetchall()
        duplicates = connection.execute("SELECT count(*) FROM fulgor.duplicate").fetchone()[0]
        dead = connection.execute("SELECT count(*) FROM fulgor.dead_letter").fetchone()[0]
        closed = check(connection).closed
    lost, doubled = sorted(scene.delivered - set(stored)), len(stored) - len(set(stored))
    print(f"protocol {protocol}: {sent} messages sent, {len(scene.delivered)} delivered, {sum(done.values())} deeds")
    print(f"lost {len(lost)}, doubled {doubled}, duplicates {duplicates}, dead {dead}, ledger closed: {closed}")
    print(f"longest time without a new row after a deed: {scene.longest:.1f} s")
    if lost:
        print(f"lost: {lost[:20]} to {lost[-1]}; stored up to {places}, topic ends {ends(scene)}")
    print("; ".join(f"{count} x {deed}" for deed, count in sorted(done.items())), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", required=True, help="the kafka-server script")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--protocols", nargs="*", default=["consumer", "classic"])
    arguments = parser.parse_args()
    for protocol in arguments.protocols:
        run(arguments, protocol)


if __name__ == "__main__":
    main()
