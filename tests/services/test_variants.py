"""The same alert again, with other content, in another topic, from an archive and live: each has its account."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer
from toy import TABLE, ToyPredictor, ToyStream, message, record
from toyrun import query

from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.settings import Settings
from fulgor.replay.source import ArchiveSource
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate

pytestmark = pytest.mark.services

FIRST = [message(record("a", value=1)), message(record("b", value=2)), message(record("c", value=3), record("d"))]
# b again as it was, c with another value, d with another time (which makes it another row), and something new.
SECOND = [
    message(record("b", value=2), record("c", value=4)),
    message(record("d", time=1_700_000_001.0)),
    message(record("e")),
]


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    return database


@pytest.fixture
def live(any_broker, make_topic: Callable, tables: str) -> Callable[[list[bytes]], dict[str, int]]:
    """Send messages to a topic of their own and consume it."""

    def run(values: list[bytes]) -> dict[str, int]:
        name, settings = make_topic(any_broker), Settings(bootstrap=any_broker.bootstrap)
        producer = Producer({"bootstrap.servers": any_broker.bootstrap})
        for value in values:
            producer.produce(name, value)
        assert producer.flush(60) == 0
        return consumed(tables, lambda: kafka_source(settings, name, "g"))

    return run


@pytest.fixture
def archived(tables: str, tmp_path: Path) -> Callable[[list[bytes]], dict[str, int]]:
    """Write messages to an archive of their own and consume it."""

    def run(values: list[bytes]) -> dict[str, int]:
        folder = tmp_path / f"archive-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for number, value in enumerate(values):
            (folder / f"{number:03}.avro").write_bytes(value)
        return consumed(tables, lambda: ArchiveSource(folder))

    return run


def consumed(database: str, source: Callable) -> dict[str, int]:
    what = Consumption(ToyStream(), ToyPredictor(), database, "g")
    metrics = consume(what, source, Settings(), title="toy", until_end=True)
    return {name: int(metrics.value("fulgor_records_total", outcome=name)) for name in ("stored", "duplicate", "dead")}


@pytest.mark.parametrize("order", ["live live", "live archived", "archived live"])
def test_what_comes_again_is_told_apart(order: str, live: Callable, archived: Callable, tables: str):
    first, second = ({"live": live, "archived": archived}[name] for name in order.split())
    assert first(FIRST) == {"stored": 4, "duplicate": 0, "dead": 0}
    assert second(SECOND) == {"stored": 2, "duplicate": 1, "dead": 1}
    assert archived([*FIRST, SECOND[0]]) == {"stored": 0, "duplicate": 5, "dead": 1}

    dead = "SELECT stage, error_class, record, reason, value FROM fulgor.dead_letter JOIN fulgor.dead_message"
    dead += ' USING (feed_id, segment, "offset")'
    for stage, error_class, number, reason, value in query(tables, dead):
        assert (stage, error_class, number, value) == ("store", "variant", 1, SECOND[0])
        assert "alert c is stored with other content" in reason
    assert query(tables, "SELECT alert, value FROM fulgor.toy_things ORDER BY alert, time") == [
        ("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 1.0), ("d", 1.0), ("e", 1.0),
    ]  # fmt: skip
    assert query(tables, "SELECT DISTINCT alert FROM fulgor.duplicate ORDER BY 1") == [("a",), ("b",), ("c",), ("d",)]
    with connect(tables) as connection:
        report = check(connection)
    assert report.findings == []
    assert any("d" in str(warning) for warning in report.warnings), report.warnings
