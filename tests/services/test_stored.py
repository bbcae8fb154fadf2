"""Pictures of stored alerts: the message behind a row, wherever it lies, and in words why it is gone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic
from matplotlib.image import imread
from typer.testing import CliRunner

from fulgor.cli.app import app
from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.settings import Settings
from fulgor.consumer.source import Source
from fulgor.errors import ArchiveError, FulgorError, SettingsError
from fulgor.models.serving import SHIPPED
from fulgor.replay.archive import open_archive
from fulgor.replay.chunks import encode_chunks
from fulgor.replay.simulate.leela import simulate as simulate_leela
from fulgor.replay.simulate.ztf import encode, simulate
from fulgor.replay.source import ArchiveSource
from fulgor.storage.database import connect
from fulgor.storage.migrate import migrate
from fulgor.streams.leela import LEELA
from fulgor.streams.ztf import ZTF

from .conftest import Broker, await_leaders, delete

pytestmark = pytest.mark.services

ALERTS = list(simulate(3, 17))
IDS = [str(alert.record["candid"]) for alert in ALERTS]


@pytest.fixture
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Settings], Source], str], None]:
    """Take in what a source holds."""
    monkeypatch.setenv("FULGOR_DATABASE", database)
    with connect(database, vectors=False) as connection:
        migrate(connection, [ZTF.table])

    def take_in(open_source: Callable[[Settings], Source], bootstrap: str) -> None:
        monkeypatch.setenv("FULGOR_BOOTSTRAP", bootstrap)
        settings = Settings(bootstrap=bootstrap)
        stream = ZTF(settings)
        what = Consumption(stream, stream.load_model(SHIPPED / "ztf", "cpu", 1), database, "g")
        consume(what, lambda: open_source(settings), settings, title="ztf", until_end=True)

    return take_in


def plot(*words: str | Path) -> None:
    result = CliRunner().invoke(app, ["plot", "stored", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_from_the_archive_that_it_was_read_from(store: Callable, tmp_path: Path):
    archive, out = tmp_path / "alerts", tmp_path / "alert.png"
    archive.mkdir()
    for name, alert in zip(IDS, ALERTS, strict=True):
        (archive / f"{name}.avro").write_bytes(encode([alert.record]))
    store(lambda _: ArchiveSource(open_archive(archive)), "127.0.0.1:1")
    plot(IDS[1], "--out", out)
    assert imread(out).shape[:2] == (740, 900)
    with pytest.raises(FulgorError, match="stream 'ztf' has no alert 'nobody' in the database"):
        plot("nobody")
    with pytest.raises(SettingsError, match=r"alert\.xyz: Format 'xyz' is not supported"):
        plot(IDS[1], "--out", tmp_path / "alert.xyz")
    (archive / f"{IDS[0]}.avro").unlink()
    with pytest.raises(ArchiveError, match=r"message is gone: archive .*alerts has changed since it was read"):
        plot(IDS[1], "--out", out)
    archive.rename(tmp_path / "elsewhere")
    with pytest.raises(ArchiveError, match=r"message is gone: archive .*alerts is not there any more"):
        plot(IDS[1], "--out", out)


def test_from_its_topic_as_long_as_there_is_one(
    any_broker: Broker, make_topic: Callable[..., str], store: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    topic, out = make_topic(any_broker), tmp_path / "alert.png"
    producer = Producer({"bootstrap.servers": any_broker.bootstrap})
    for alert in ALERTS:
        producer.produce(topic, encode([alert.record]))
    assert producer.flush(60) == 0
    store(partial(kafka_source, topic=topic, group="g"), any_broker.bootstrap)
    plot(IDS[2], "--out", out)
    assert out.exists()
    monkeypatch.setenv("FULGOR_BOOTSTRAP", "127.0.0.1:1")
    with pytest.raises(
        ArchiveError, match=r"out of reach: topic .*, partition 0, offset 2: no broker answered; broker"
    ):
        plot(IDS[2], "--out", out)
    monkeypatch.setenv("FULGOR_BOOTSTRAP", any_broker.bootstrap)
    admin = any_broker.admin()
    delete(admin, topic)
    with pytest.raises(ArchiveError, match=r"message is gone: topic .* the topic was deleted, or made anew"):
        plot(IDS[2], "--out", out)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(60)
    await_leaders(admin, topic)
    with pytest.raises(ArchiveError, match="message is gone: topic"):
        plot(IDS[2], "--out", out)


def test_a_pulse_is_drawn_in_its_chunk(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FULGOR_DATABASE", database)
    with connect(database, vectors=False) as connection:
        migrate(connection, [LEELA.table])
    archive, out = tmp_path / "chunks.avro", tmp_path / "chunk.png"
    archive.write_bytes(encode_chunks([each.record for each in simulate_leela(12, 5)]))
    settings = Settings(bootstrap="127.0.0.1:1")
    stream = LEELA(settings)
    what = Consumption(stream, stream.load_model(SHIPPED / "leela", "cpu", 1), database, "g")
    consume(what, lambda: ArchiveSource(open_archive(archive)), settings, title="leela", until_end=True)
    with connect(database) as connection:
        row = connection.execute("SELECT alert FROM fulgor.leela_pulses ORDER BY alert LIMIT 1").fetchone()
    assert row is not None
    plot(row[0], "--stream", "leela", "--out", out)
    assert imread(out).shape[1] == 1000
    with pytest.raises(FulgorError, match="stream 'leela' has no alert 'nobody' in the database"):
        plot("nobody", "--stream", "leela")
    with pytest.raises(SettingsError, match="--stream spectra: pictures are drawn of ztf, leela"):
        plot("nobody", "--stream", "spectra")
