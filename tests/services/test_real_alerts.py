"""Every real alert through each broker, twice; every broken one between good ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer

from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.settings import Settings
from fulgor.models.serving import SHIPPED
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate
from fulgor.streams.registry import instrument, stream_table

pytestmark = [pytest.mark.services, pytest.mark.real]

TOPIC_CONFIG = {"max.message.bytes": "16842752"}
ALERTS = 796

# Of the 20 broken files: what becomes a row with flags, and what the reasons of the others say.
ROWS_WITH_FLAGS = {"jpeg_stamps__121540793515135000", "jpeg_stamps__121540793515135001", "ztf_no_stamps"}
REASONS = {
    "atlas_valid": "not a ZTF alert",
    "bad_default_turbo": "Default value",
    "bad_default_winter": "Default value",
    "confluent_framed_lsst": "Confluent",
    "crlf_damaged": "1 byte missing in block 0",
    "empty": "empty",
    "git_lfs_pointer": "LFS",
    "header_damaged_sim": "missing",
    "ipac_damaged": "1 byte missing in block 0",
    "lsst_ocf": "not a ZTF alert",
    "pgir_valid": "not a ZTF alert",
    "schemaless_lsst": "",
    "winter_valid": "not a ZTF alert",
}


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [stream_table("ztf")])
    return database


def produce(broker, topic: str, values: list[bytes]) -> None:
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "message.max.bytes": 16 * 2**20, "linger.ms": 0, "acks": "all"}
    )
    for index, value in enumerate(values):
        producer.produce(topic, value, partition=index % 2)
        producer.poll(0)
    assert producer.flush(60) == 0


def run(broker, topic: str, database: str) -> dict[str, int]:
    settings = Settings(bootstrap=broker.bootstrap)
    stream = instrument("ztf", settings)
    what = Consumption(stream, stream.load_model(SHIPPED / "ztf", "cpu", 1), database, "real")
    metrics = consume(what, lambda: kafka_source(settings, topic, "real"), settings, title="ztf", until_end=True)
    outcomes = ("stored", "duplicate", "dead")
    return {outcome: int(metrics.value("fulgor_records_total", outcome=outcome)) for outcome in outcomes}


def is_closed(database: str) -> bool:
    with connect(database) as connection:
        report = check(connection)
    assert not report.findings
    return report.closed


def real_files(shared: Path) -> list[Path]:
    folder = shared / "data" / "ztf"
    return sorted((folder / "packets").rglob("*.avro")) + sorted((folder / "bulk").glob("*.avro"))


def test_every_real_alert_twice(broker, topic: Callable, tables: str, shared: Path):
    files = real_files(shared)
    values = [path.read_bytes() for path in files]
    name = topic(2, TOPIC_CONFIG)
    produce(broker, name, values)
    produce(broker, name, values)
    counts = run(broker, name, tables)
    assert counts == {"stored": ALERTS, "duplicate": ALERTS, "dead": 0}
    with psycopg.connect(tables) as connection:
        assert connection.execute("SELECT sum(next_offset) FROM fulgor.feed").fetchone() == (2 * len(files),)
        scored = "SELECT count(*) FROM fulgor.ztf_alerts WHERE latent IS NOT NULL AND anomaly IS NOT NULL"
        assert connection.execute(scored).fetchone() == (ALERTS,)
        assert connection.execute("SELECT count(DISTINCT alert) FROM fulgor.ztf_alerts").fetchone() == (ALERTS,)
    assert is_closed(tables)


def test_broken_messages_between_good_ones(broker, topic: Callable, tables: str, shared: Path):
    broken = sorted(path for path in (shared / "data" / "ztf" / "malformed").iterdir() if path.is_file())
    assert len(broken) == 20
    good = [path for path in real_files(shared) if path.stat().st_size < 200_000][: len(broken) + 1]
    values = [good[0].read_bytes()]
    for bad, fine in zip(broken, good[1:], strict=True):
        values += [bad.read_bytes(), fine.read_bytes()]
    name = topic(2, TOPIC_CONFIG)
    produce(broker, name, values)
    run(broker, name, tables)

    with psycopg.connect(tables) as connection:
        dead = dict(connection.execute('SELECT "offset" * 2 + partition, reason FROM fulgor.dead_letters').fetchall())
        rows = connection.execute(
            'SELECT DISTINCT l."offset" * 2 + f.partition, l.flags, l.unscorable FROM fulgor.latent l'
            " JOIN fulgor.feed f USING (feed_id)"
        ).fetchall()
    stored = {place: (flags, unscorable) for place, flags, unscorable in rows}
    for index in range(0, len(values), 2):
        assert index in stored, f"the good alert {good[index // 2].name} was not stored"
    for index, path in enumerate(broken):
        place = 2 * index + 1
        if any(path.name.startswith(prefix) for prefix in ROWS_WITH_FLAGS):
            flags, unscorable = stored[place]
            assert flags
            assert unscorable
        else:
            expected = next(reason for prefix, reason in REASONS.items() if path.name.startswith(prefix))
            assert expected in dead[place], path.name
    assert is_closed(tables)
