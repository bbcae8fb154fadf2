"""Peak memory of a consumer whose input is far faster than its database, against a bound computed from its settings.

    python benchmarks/memory.py --kafka ../shared/kafka/kafka-server

A trigger lets the database take --rate rows a second while a topic holds --count alerts, which could be read at many
times that rate. After --seconds of that the trigger goes, the consumer finishes, and the ledger must close.

The bound is a sum: what a consumer takes that has nothing to do; the inbox, which may be exceeded by what one poll
gives; librdkafka's own queue, which may be exceeded by what one fetch brings; the arrays of what is decoded and not
yet committed to the model, at most two batches; one batch more as the model's input; and what the model itself takes.
All of it once more by a tenth, for what the allocator does not give back.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg
from confluent_kafka import Producer
from service import finish, fresh_database, fresh_topic, start_consumer

from fulgor.consumer.kafka import _CONSUME
from fulgor.consumer.settings import Settings
from fulgor.embedded.postgres import EmbeddedPostgres
from fulgor.replay.simulate.ztf import encode, simulate
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.streams.registry import instrument

MIB = 2**20
# librdkafka's defaults, but for the first, which is ours (consumer/kafkasettings.py).
QUEUE, FETCH = 64 * MIB, 50 * MIB
SLACK = 1.1
_THROTTLE = """
CREATE TABLE public.throttle AS SELECT {seconds}::float8 AS seconds;
CREATE FUNCTION throttle() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN PERFORM pg_sleep(seconds) FROM public.throttle; RETURN NEW; END$$;
CREATE TRIGGER throttle BEFORE INSERT ON fulgor.latent FOR EACH ROW EXECUTE FUNCTION throttle();
"""
_MODEL = """
import sys
from fulgor.consumer.settings import Settings
from fulgor.streams.registry import instrument
import numpy as np
def resident(what):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(what))
ztf, settings = instrument("ztf", Settings()), Settings()
[record] = ztf.decode(sys.stdin.buffer.read())
[item] = ztf.prepare(record)
model = ztf.load_model(ztf.default_model, "cpu", 1)
batch = {name: np.stack([array] * settings.batch_size) for name, array in item.arrays.items()}
before = resident("VmRSS")
for _ in range(3):
    model.predict(batch)
print(resident("VmHWM") - before)
"""


def resident(pid: int, what: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(what))


def model_bytes(alert: bytes) -> int:
    """Return what the model takes for a full batch, measured in a process of its own."""
    done = subprocess.run([sys.executable, "-c", _MODEL], input=alert, capture_output=True, check=True)
    return int(done.stdout)


def item_bytes(alert: bytes) -> int:
    ztf = instrument("ztf", Settings())
    [record] = ztf.decode(alert)
    [item] = ztf.prepare(record)
    return sum(array.nbytes for array in item.arrays.values())


def bound(settings: Settings, idle: int, largest: int, item: int, model: int) -> dict[str, int]:
    """Return the parts of the bound, in bytes."""
    return {
        "a consumer with nothing to do": idle,
        f"inbox_mb = {settings.inbox_mb}": settings.inbox_mb * MIB,
        f"one poll of {_CONSUME + 1} messages of {largest:,} bytes": (_CONSUME + 1) * largest,
        "queued.max.messages.kbytes": QUEUE,
        "fetch.max.bytes": FETCH,
        f"arrays of 2 x {settings.batch_size} items of {item:,} bytes": 2 * settings.batch_size * item,
        "one batch as the model's input": settings.batch_size * item,
        "the model": model,
    }


def send(bootstrap: str, topic: str, alerts: list[bytes], count: int) -> None:
    """Fill a topic: the same alerts again and again are duplicates, which the database takes as slowly."""
    producer = Producer({"bootstrap.servers": bootstrap, "queue.buffering.max.kbytes": 65536, "linger.ms": 50})
    for number in range(count):
        while True:
            try:
                producer.produce(topic, alerts[number % len(alerts)], partition=number % 4)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(120)


def await_alive(consumer: subprocess.Popen[str], connection: psycopg.Connection, query: str, wanted: int) -> None:
    """Wait until a counting query reaches a number, as long as the consumer lives."""
    while (connection.execute(query).fetchone()[0] or 0) < wanted:
        if consumer.poll() is not None:
            raise SystemExit(f"the consumer ended with code {consumer.returncode}:\n{consumer.communicate()[1]}")
        time.sleep(0.2)


def throttled(arguments: argparse.Namespace, bootstrap: str, server: str, alerts: list[bytes]) -> tuple[int, int, str]:
    """Return the memory of an idle consumer, its peak, and what it did meanwhile."""
    with fresh_database(server) as database, fresh_topic(bootstrap, 4) as topic:
        consumer = start_consumer(bootstrap, database, topic)
        with psycopg.connect(database, autocommit=True) as connection:
            await_alive(consumer, connection, "SELECT count(*) FROM fulgor.feed WHERE next_offset IS NOT NULL", 4)
            idle = resident(consumer.pid, "VmRSS")
            connection.execute(_THROTTLE.format(seconds=1 / arguments.rate))
            started = time.monotonic()
            send(bootstrap, topic, alerts, arguments.count)
            sent = time.monotonic() - started
            time.sleep(max(arguments.seconds - sent, 0))
            taken = int(connection.execute("SELECT sum(next_offset) FROM fulgor.feed").fetchone()[0])
            slow_s = time.monotonic() - started
            connection.execute("UPDATE public.throttle SET seconds = 0")
            await_alive(consumer, connection, "SELECT sum(next_offset) FROM fulgor.feed", arguments.count)
        peak = resident(consumer.pid, "VmHWM")
        consumer.terminate()
        counts = finish(consumer)
        with connect(database) as connection:
            closed = check(connection).closed
    if not closed or counts["messages"] != arguments.count or counts["dead"]:
        raise SystemExit(f"ledger closed: {closed}; {counts}")
    return (
        idle,
        peak,
        (
            f"{arguments.count} alerts sent at {arguments.count / sent:.0f}/s, taken by the database at"
            f" {taken / slow_s:.0f}/s for {slow_s:.0f} s; ledger closed"
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", required=True, help="script that starts a broker of its own")
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--rate", type=float, default=30, help="rows a second that the database takes")
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    alerts = [encode([alert.record]) for alert in simulate(2000, 1)]
    largest = max(map(len, alerts))
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fulgor-memory-")))
        stack.callback(subprocess.run, [arguments.kafka, "wipe", work / "kafka"], check=False)
        started = subprocess.run([arguments.kafka, "up", work / "kafka"], check=True, capture_output=True, text=True)
        server = stack.enter_context(EmbeddedPostgres.temporary(work / "postgres")).url()
        idle, peak, what = throttled(arguments, started.stdout.split()[0], server, alerts)
    parts = bound(Settings(), idle, largest, item_bytes(alerts[0]), model_bytes(alerts[0]))
    total = int(sum(parts.values()) * SLACK)
    print(what)
    for name, size in parts.items():
        print(f"  {size / MIB:7.0f} MiB  {name}")
    print(f"  {total / MIB:7.0f} MiB  bound, with a tenth for the allocator")
    print(f"  {peak / MIB:7.0f} MiB  peak", "within the bound" if peak <= total else "ABOVE THE BOUND")
    sys.exit(0 if peak <= total else 1)


if __name__ == "__main__":
    main()
