"""Anomalies on a Kafka topic: after their commit, at least once, never in the engine's way."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from live import until
from toy import CARD, TABLE, ToyPredictor, ToyStream, message, record

from fulgor.consumer import consume as consume_module
from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.publisher import Publisher
from fulgor.consumer.settings import Settings
from fulgor.errors import SettingsError, TopicError
from fulgor.storage.database import connect
from fulgor.storage.migrate import migrate
from fulgor.storage.outbox import FIELDS, pending

pytestmark = pytest.mark.services


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    return database


def produce(broker, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(60) == 0


def run(broker, topic: str, database: str, alerts_to: str | None, **settings: object) -> Metrics:
    chosen = Settings(bootstrap=broker.bootstrap, group_protocol="classic", alerts_to=alerts_to, **settings)
    what = Consumption(ToyStream(), ToyPredictor(), database, "g")
    return consume(what, lambda: kafka_source(chosen, topic, "g"), chosen, title="toy", until_end=True)


def published(broker, topic: str) -> list[tuple[str, dict]]:
    """Read a topic of one partition to its end."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": topic, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    while True:
        got = consumer.poll(60)
        assert got is not None, "the broker is silent"
        if got.error() is not None:
            assert got.error().code() == KafkaError._PARTITION_EOF
            break
        found.append((got.key().decode(), json.loads(got.value())))
    consumer.close()
    return found


def waiting(database: str, topic: str) -> int:
    with connect(database) as connection:
        return pending(connection, topic)


def values(count: int) -> list[bytes]:
    """Every tenth is an anomaly of 0.995."""
    return [message(record(index, value=9.95 if index % 10 == 3 else 1.0)) for index in range(count)]


def test_anomalies_are_sent_with_documented_fields(broker, topic: Callable, tables: str):
    source, alerts = topic(), topic()
    sent = [*values(30), message(record("twice", value=10, items=2)), message(record(3, value=9.95))]
    sent.append(message(record("nul", value=10, **{"break": "nul"})))
    produce(broker, source, sent)
    metrics = run(broker, source, tables, alerts)
    found = published(broker, alerts)
    # Neither the duplicate at the end nor the one that became a dead letter.
    assert [key for key, _ in found] == ["3", "13", "23", "twice/0", "twice/1"]
    assert metrics.value("fulgor_alerts_published_total") == 5
    assert metrics.value("fulgor_alerts_pending") == waiting(tables, alerts) == 0
    key, value = found[1]
    assert set(value) == set(FIELDS)
    with psycopg.connect(tables) as connection:
        (cluster,) = connection.execute("SELECT cluster FROM fulgor.feed").fetchone()
    assert value == {
        "stream": "toy", "alert": key, "object": "object-13", "time": "2023-11-14T22:13:20.000000Z", "class": "high",
        "probabilities": {"low": 0.0, "high": 1.0}, "scores": {"size": pytest.approx(9.95)},
        "anomaly": pytest.approx(0.995), "flags": 0, "model": CARD["hash"], "model_name": CARD["name"],
        "source": {"cluster": cluster, "topic": source, "partition": 0, "offset": 13, "record": 0, "item": 0},
    }  # fmt: skip


def test_the_bound_is_a_setting(embedded_broker, make_topic: Callable, tables: str):
    source, alerts = make_topic(embedded_broker), make_topic(embedded_broker)
    produce(embedded_broker, source, values(10))
    run(embedded_broker, source, tables, alerts, alerts_above=0.1)
    assert len(published(embedded_broker, alerts)) == 10


def test_a_crash_before_publishing_loses_nothing(broker, topic: Callable, tables: str, monkeypatch):
    source, alerts = topic(), topic()
    produce(broker, source, values(30))
    with monkeypatch.context() as crashed:  # committed, and then the process is gone
        crashed.setattr(consume_module, "publishing", lambda publisher, timeout_s: nullcontext())
        run(broker, source, tables, alerts)
    assert waiting(tables, alerts) == 3
    assert published(broker, alerts) == []
    run(broker, source, tables, alerts)
    assert [key for key, _ in published(broker, alerts)] == ["3", "13", "23"]
    assert waiting(tables, alerts) == 0


def test_a_crash_after_publishing_sends_again(embedded_broker, make_topic: Callable, tables: str, monkeypatch):
    source, alerts = make_topic(embedded_broker), make_topic(embedded_broker)
    produce(embedded_broker, source, values(10))
    send = Publisher._send

    def send_and_forget(self, rows):
        send(self, rows)
        raise psycopg.OperationalError("the connection is gone")

    with monkeypatch.context() as crashed:
        crashed.setattr(Publisher, "_send", send_and_forget)
        run(embedded_broker, source, tables, alerts)
    run(embedded_broker, source, tables, alerts)
    keys = [key for key, _ in published(embedded_broker, alerts)]
    assert set(keys) == {"3"}
    assert len(keys) >= 2
    assert waiting(tables, alerts) == 0


def test_a_topic_that_refuses_stops_nobody(embedded_broker, make_topic: Callable, tables: str, monkeypatch, caplog):
    source, alerts = make_topic(embedded_broker), make_topic(embedded_broker)
    produce(embedded_broker, source, values(30))

    def refuse(self, rows):
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    monkeypatch.setattr(Publisher, "_send", refuse)
    with caplog.at_level(logging.WARNING, "fulgor"):
        metrics = run(embedded_broker, source, tables, alerts)
    assert metrics.value("fulgor_records_total", outcome="stored") == 30
    assert waiting(tables, alerts) == 3
    assert any("anomalies wait" in line for line in caplog.messages)


def test_two_publishers_share_the_work(embedded_broker, make_topic: Callable, tables: str, monkeypatch):
    """Nothing that one has in hand is sent by the other."""
    source, alerts = make_topic(embedded_broker), make_topic(embedded_broker)
    produce(embedded_broker, source, values(20))
    monkeypatch.setattr(consume_module, "publishing", lambda publisher, timeout_s: nullcontext())
    run(embedded_broker, source, tables, alerts)
    with psycopg.connect(tables) as other:
        other.execute("SELECT 1 FROM fulgor.alert_outbox ORDER BY outbox_id LIMIT 1 FOR UPDATE")
        monkeypatch.undo()
        run(embedded_broker, source, tables, alerts)
        assert [key for key, _ in published(embedded_broker, alerts)] == ["13"]
    run(embedded_broker, source, tables, alerts)
    assert [key for key, _ in published(embedded_broker, alerts)] == ["13", "3"]


def test_start_up_errors(embedded_broker, make_topic: Callable, tables: str):
    source = make_topic(embedded_broker)
    with pytest.raises(TopicError, match="--alerts-to: topic 'no_such_topic' does not exist"):
        run(embedded_broker, source, tables, "no_such_topic")
    with pytest.raises(TopicError, match="is a pattern"):
        run(embedded_broker, source, tables, "^alerts")
    with pytest.raises(SettingsError, match="reads that topic"):
        run(embedded_broker, source, tables, source)
    with pytest.raises(SettingsError, match=r"enable\.idempotence"):
        run(embedded_broker, source, tables, make_topic(embedded_broker), kafka={"enable.idempotence": "false"})


CONSUMER = """
import sys
from toy import ToyPredictor, ToyStream
from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.settings import Settings
bootstrap, topic, database, alerts = sys.argv[1:5]
settings = Settings(bootstrap=bootstrap, group_protocol="classic", session_timeout_ms=6000, batch_size=16,
                    deadline_ms=20, alerts_to=alerts, alerts_above=0.5)
what = Consumption(ToyStream(), ToyPredictor(), database, "g")
consume(what, lambda: kafka_source(settings, topic, "g"), settings, title="toy", until_end="--until-end" in sys.argv)
"""


@pytest.mark.slow
def test_kill_9_loses_no_anomaly(embedded_broker, make_topic: Callable, tables: str):
    source, alerts, chance = make_topic(embedded_broker), make_topic(embedded_broker), random.Random(11)
    padding = "x" * 2000
    toys = [message(record(i, value=i % 10, padding=padding)) for i in range(3000)]
    command = [sys.executable, "-c", CONSUMER, embedded_broker.bootstrap, source, tables, alerts]
    support = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1] / "support")}

    def stored() -> int:
        with psycopg.connect(tables) as connection:
            return connection.execute("SELECT count(*) FROM fulgor.latent").fetchone()[0]

    for life in range(2):
        produce(embedded_broker, source, toys[1000 * life :][:1000])  # a life may have stored all that there was
        before = stored()
        with subprocess.Popen(command, env=support, stderr=subprocess.DEVNULL) as process:
            until(
                lambda before=before, process=process: process.poll() is not None or stored() > before, "no rows", 120
            )
            time.sleep(chance.uniform(0, 0.3))
            process.kill()
    produce(embedded_broker, source, toys[2000:])
    last = subprocess.run([*command, "--until-end"], env=support, capture_output=True, timeout=300, check=False)
    assert last.returncode == 0, last.stderr.decode()
    assert stored() == 3000
    # What a killed consumer had locked is free once the server has noticed that it is gone.
    run(embedded_broker, source, tables, alerts)
    assert {key for key, _ in published(embedded_broker, alerts)} == {str(i) for i in range(3000) if i % 10 >= 5}
    assert waiting(tables, alerts) == 0
