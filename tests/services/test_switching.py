"""Models that change under load: two consumers, a real broker, and a ledger that closes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest
from confluent_kafka import Producer
from following_consumer import Named, card, following, load
from live import until
from toy import TABLE, message, record
from toyrun import query

from fulgor.consumer.consume import consume
from fulgor.consumer.settings import Settings
from fulgor.replay.source import ArchiveSource
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.lifecycle import promote, retire, rollback, shadow
from fulgor.storage.migrate import migrate
from fulgor.storage.registry import Model, get_model, register_model

pytestmark = pytest.mark.services

STORED = "SELECT count(*) FROM fulgor.latent WHERE NOT shadow"
REFUSED = "cannot take over, the others go on: its files are gone"
SCRIPT = Path(__file__).resolve().parents[1] / "support" / "following_consumer.py"


@pytest.fixture
def models(database: str) -> tuple[str, dict[str, int]]:
    """A database with the models 1 (live), 2, 3 and f, which cannot be loaded."""
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    with connect(database) as connection:
        return database, {digit: register_model(connection, card(digit)) for digit in "123f"}


@contextmanager
def traffic(bootstrap: str, topic: str, partitions: int, database: str) -> Iterator[list[int]]:
    """Send some 400 toys a second while the block runs; yield the list that their number comes to stand in.

    A slow machine stores fewer: they do not get further ahead than it can make up for.
    """
    stopping, sent = Event(), [0]

    def send() -> None:
        producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
        while not stopping.is_set():
            for _ in range(20 if sent[0] < query(database, STORED)[0][0] + 1000 else 0):
                value = message(record(sent[0], value=float(sent[0] % 100)))
                producer.produce(topic, value, partition=sent[0] % partitions)
                sent[0] += 1
            producer.poll(0)
            time.sleep(0.05)
        assert producer.flush(60) == 0

    thread = Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        stopping.set()
        thread.join()


@contextmanager
def consumers(count: int, logs: Path, *arguments: str) -> Iterator[Callable[[str], bool]]:
    """Run consumers, which must leave in good order at the end; yield what tells whether all have said some words."""
    files = [logs / f"consumer-{number}" for number in range(count)]
    running: list[subprocess.Popen[str]] = []

    def have_said(words: str) -> bool:
        assert all(consumer.poll() is None for consumer in running), [file.read_text()[-4000:] for file in files]
        return all(words in file.read_text() for file in files)

    try:
        for file in files:
            with file.open("w") as stderr:
                running.append(subprocess.Popen([sys.executable, SCRIPT, *arguments], stderr=stderr, text=True))
        yield have_said
        for consumer in running:
            consumer.terminate()
        for consumer, file in zip(running, files, strict=True):
            assert consumer.wait(120) == 0, file.read_text()[-4000:]
    finally:
        for consumer in running:
            consumer.kill()
            consumer.wait()


def rows(database: str, model_id: int, *, beside: bool = False) -> int:
    where = f"model_id = {model_id} AND shadow = {beside}"
    return int(query(database, f"SELECT count(*) FROM fulgor.latent WHERE {where}")[0][0])


def grows(database: str, model_id: int, *, beside: bool = False) -> None:
    before = rows(database, model_id, beside=beside)
    until(lambda: rows(database, model_id, beside=beside) >= before + 40, f"model {model_id} is not taken over", 120)


def test_promote_shadow_refuse_and_roll_back_under_load(embedded_broker, make_topic: Callable, models, tmp_path: Path):
    database, ids = models
    broker, name = embedded_broker, make_topic(embedded_broker, 4)
    with connect(database) as connection, consumers(2, tmp_path, broker.bootstrap, name, database, "g", "auto") as said:
        with traffic(broker.bootstrap, name, 4, database) as sent:
            first, second, third, broken = (get_model(connection, ids[digit]) for digit in "123f")
            grows(database, ids["1"])
            promote(connection, second)
            grows(database, ids["2"])
            shadow(connection, third)
            grows(database, ids["3"], beside=True)
            promote(connection, broken)  # no consumer can load it: the one of before goes on
            until(lambda: said(REFUSED), "it is not refused by both", 120)
            grows(database, ids["2"])
            assert rollback(connection, "toy").hash == second.hash
            retire(connection, third)
            assert rollback(connection, "toy").hash == first.hash
            grows(database, ids["1"])
        until(lambda: query(database, STORED) == [(sent[0],)], "not everything is stored", 120)
    with connect(database) as connection:
        assert check(connection).closed
        # Neither lost nor doubled, whichever model made the row.
        distinct = connection.execute("SELECT count(DISTINCT alert) FROM fulgor.latent WHERE NOT shadow").fetchone()
        assert distinct == (sent[0],)
        assert connection.execute("SELECT count(*) FROM fulgor.duplicate").fetchone() == (0,)
        # Each row is the work of the model that it names.
        wrong = connection.execute(
            "SELECT count(*) FROM fulgor.latent l JOIN fulgor.model m USING (model_id) JOIN fulgor.toy_alert a"
            " ON a.alert = l.alert AND a.time = l.time"
            " WHERE abs((l.latent::real[])[1] - a.value * left(m.hash, 1)::int) > 1e-4"
        ).fetchone()
        assert wrong == (0,)
    assert rows(database, ids["f"]) == 0


def test_a_run_of_a_moment_has_the_shadows_rows_from_its_first_alert(models, tmp_path: Path):
    database, ids = models
    with connect(database) as connection:
        for digit in "2f":
            shadow(connection, get_model(connection, ids[digit]))
    for number in range(20):
        (tmp_path / f"{number:02}.avro").write_bytes(message(record(number)))

    def slowly(model: Model) -> Named:
        time.sleep(0.5)
        return load(model)

    what = replace(following(database, "g"), follow=slowly)
    consume(what, lambda: ArchiveSource(tmp_path), Settings(), title="toy", until_end=True)
    assert (rows(database, ids["1"]), rows(database, ids["2"], beside=True)) == (20, 20)
