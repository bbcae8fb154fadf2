"""The 300 real LEELA chunks through each broker, twice, with broken messages between them: the ledger closes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from confluent_kafka import Producer

from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.settings import Settings
from fulgor.models.serving import SHIPPED
from fulgor.replay.archive import open_archive
from fulgor.replay.chunks import encode_chunks
from fulgor.replay.simulate.leela import simulate
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate
from fulgor.streams.leela import LEELA

pytestmark = pytest.mark.services


def produce(broker, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0, "acks": "all"})
    for index, value in enumerate(values):
        producer.produce(topic, value, partition=index % 2)
    assert producer.flush(60) == 0


def run(broker, topic: str, database: str) -> dict[str, int]:
    settings = Settings(bootstrap=broker.bootstrap)
    stream = LEELA(settings)
    what = Consumption(stream, stream.load_model(SHIPPED / "leela", "cpu", 1), database, "leela")
    metrics = consume(what, lambda: kafka_source(settings, topic, "leela"), settings, title="leela", until_end=True)
    outcomes = ("stored", "duplicate", "dead")
    return {outcome: int(metrics.value("fulgor_records_total", outcome=outcome)) for outcome in outcomes}


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [LEELA.table])
    return database


def assert_closed(database: str) -> None:
    with connect(database) as connection:
        report = check(connection)
    assert not report.findings
    assert report.closed


@pytest.mark.real
def test_the_real_chunks_are_stored_once_and_the_ledger_closes(broker, topic, tables: str, shared: Path):
    values = [message.value for message in open_archive(shared / "data" / "leela" / "akrotiri_202302131710.npy")]
    assert len(values) == 300
    name = topic(2)
    produce(broker, name, [*values, pickle.dumps({"a": 1}), b"", *values[:20]])
    counts = run(broker, name, tables)
    with connect(tables) as connection:
        chunks = connection.execute(
            "SELECT count(*), sum(pulses), count(anomaly), count(latent) FROM fulgor.leela_chunks"
        )
        stored, pulses, scored, latents = chunks.fetchone()
        rows = connection.execute(
            'SELECT count(*), count(DISTINCT alert), count(anomaly), min(octet_length("window"))'
            " FROM fulgor.leela_pulses"
        ).fetchone()
        # A chunk repeats its strangest pulse.
        wrong = connection.execute(
            "SELECT count(*) FROM fulgor.leela_chunks c WHERE pulses > 0 AND anomaly IS DISTINCT FROM"
            " (SELECT max(anomaly) FROM fulgor.leela_pulses p WHERE p.chunk = c.alert)"
        ).fetchone()
    assert (stored, scored, latents) == (300, 300, 300)
    assert rows == (pulses, pulses, pulses, 512)
    assert wrong == (0,)
    assert counts["stored"] == 300 + pulses
    assert counts["dead"] == 2
    repeated = counts["duplicate"]
    assert 20 <= repeated <= 20 * 9
    assert_closed(tables)


def test_broken_chunks_become_flagged_rows_or_dead_letters(embedded_broker, make_topic, tables: str):
    good = next(simulate(1, 3)).record
    silent = {**good, "wvfmdata": bytes(2048), "starttime": good["starttime"] + 10**9}
    negative = {**good, "smplint": -1.0}
    short = {**good, "numsmpls": 1000}
    name = make_topic(embedded_broker, 2)
    produce(embedded_broker, name, [encode_chunks([good, silent, negative, short])])
    counts = run(embedded_broker, name, tables)
    with connect(tables) as connection:
        reasons = connection.execute("SELECT reason FROM fulgor.dead_letters ORDER BY record").fetchall()
        unscorable = connection.execute(
            "SELECT unscorable FROM fulgor.leela_chunks WHERE unscorable IS NOT NULL"
        ).fetchall()
    assert counts["dead"] == 2
    assert "interval" in reasons[0][0]
    assert "1000" in reasons[1][0]
    assert unscorable == [("all 1024 samples are 0",)]
    assert_closed(tables)
