"""An archive through the whole engine, without a broker, into a real Postgres."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from faketopic import FakeTopic
from faketopic import message as topic_message
from faketopic import record as record_topic
from toy import TABLE, ToyPredictor, ToyStream, message, record

from fulgor.consumer.consume import Consumption, consume
from fulgor.consumer.settings import Settings
from fulgor.errors import ArchiveError
from fulgor.replay.archive import Archive, open_archive
from fulgor.replay.lookup import MessageFinder
from fulgor.replay.source import ArchiveSource
from fulgor.storage.database import connect
from fulgor.storage.migrate import migrate
from fulgor.storage.places import StoredPlace

pytestmark = pytest.mark.services


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    return database


def tarball(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def things(count: int) -> dict[str, bytes]:
    return {f"{number:03}.avro": message(record(f"thing-{number}")) for number in range(count)}


def run(archive: Archive, database: str) -> tuple[dict[str, float], ArchiveSource]:
    source = ArchiveSource(archive)
    what = Consumption(ToyStream(), ToyPredictor(), database, "g")
    metrics = consume(what, lambda: source, Settings(), title="toy", until_end=True)
    return {
        name: metrics.value("fulgor_records_total", outcome=name) for name in ("stored", "duplicate", "dead")
    }, source


def rows(database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database, options="-csearch_path=fulgor,public") as connection:
        return connection.execute(query).fetchall()


def test_an_archive_is_stored_once_however_often_it_is_read(tmp_path: Path, tables: str) -> None:
    for name, value in (things(200) | {"100.avro": b"not json"}).items():
        (tmp_path / name).write_bytes(value)
    counts, source = run(open_archive(tmp_path), tables)
    assert counts == {"stored": 199, "duplicate": 0, "dead": 1}
    source.raise_failure()
    again, _ = run(open_archive(tmp_path), tables)
    assert again == {"stored": 0, "duplicate": 0, "dead": 0}
    assert rows(tables, "SELECT first_offset, next_offset FROM ledger") == [(0, 200)]
    (tmp_path / "200.avro").write_bytes(message(record("thing-200")))
    more, _ = run(open_archive(tmp_path), tables)  # another content: read from its beginning
    assert more == {"stored": 1, "duplicate": 199, "dead": 1}


def test_a_cut_tarball_is_stored_up_to_the_cut(tmp_path: Path, tables: str) -> None:
    path = tarball(tmp_path / "night.tar", things(20))
    path.write_bytes(path.read_bytes()[: 15 * 1024 + 600])
    counts, source = run(open_archive(path), tables)
    assert counts["stored"] == 15
    with pytest.raises(ArchiveError, match=r"015\.avro: the tar ends within"):
        source.raise_failure()


def test_a_file_that_can_be_no_message_is_a_skipped_offset(tmp_path: Path, tables: str) -> None:
    path = tarball(tmp_path / "night.tar", things(3) | {"001.avro": bytes(2000)})
    counts, source = run(open_archive(path, limit=1000), tables)
    assert counts["stored"] == 2
    assert rows(tables, "SELECT first_offset, next_offset FROM skipped") == [(1, 2)]
    with pytest.raises(ArchiveError, match=r"001\.avro: 2000 bytes"):
        source.raise_failure()


def test_a_recording_is_stored_once_and_the_messages_behind_its_rows_are_found(tmp_path: Path, tables: str) -> None:
    values = [message(record(f"thing-{number}")) for number in range(30)]
    topic = FakeTopic([topic_message(number % 3, number // 3, value) for number, value in enumerate(values)])
    record_topic(topic, tmp_path / "out")
    counts, source = run(open_archive(tmp_path / "out"), tables)
    source.raise_failure()
    assert counts == {"stored": 30, "duplicate": 0, "dead": 0}
    assert run(open_archive(tmp_path / "out"), tables)[0]["stored"] == 0
    places = {
        alert: StoredPlace(*place)
        for alert, *place in rows(
            tables,
            'SELECT l.alert, f.cluster, f.topic, f.topic_id, f.partition, l."offset"'
            " FROM latent l JOIN feed f USING (feed_id)",
        )
    }
    found = MessageFinder().find(places.values())
    assert {alert: found[place] for alert, place in places.items()} == {
        f"thing-{number}": value for number, value in enumerate(values)
    }
