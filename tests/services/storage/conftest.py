"""A database with a toy stream, and short ways to make batches for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import numpy as np
import pytest

from fulgor.storage.database import Connection, connect
from fulgor.storage.feeds import Claim, FeedKey, claim, open_segment
from fulgor.storage.migrate import migrate
from fulgor.storage.registry import register_model
from fulgor.storage.rows import Batch, Coordinates, DeadLetter, Hole, RawMessage, Result, Run
from fulgor.storage.tables import Column, StreamTable
from fulgor.storage.writer import Writer

NIGHT = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
TABLE = StreamTable(
    "toy",
    "alerts",
    (
        Column("ra", "float8", "right ascension, degrees"),
        Column("dec", "float8", "declination, degrees"),
        Column("healpix", "int8", "order-29 nested pixel"),
        Column("fid", "int2", "filter"),
        Column("magpsf", "float4", "magnitude"),
    ),
)
CARD: dict[str, Any] = {
    "name": "toy-1",
    "stream": "toy",
    "hash": "a" * 16,
    "preprocessing_hash": "b" * 16,
    "classes": ["AGN", "SN"],
    "scores": ["reconstruction", "distance"],
    "reference": "toy-reference",
}

EMPTIED = (
    "toy_alert", "latent", "duplicate", "empty", "skipped", "dead_letter", "dead_message", "offset_audit",
    "judgement", "arrival", "rescore_queue", "sealed", "sealed_item", "skip_order", "segment", "feed", "model_event",
    "model",
)  # fmt: skip


@dataclass
class Toy:
    """One feed of a toy stream, with its writer."""

    url: str
    connection: Connection
    model_id: int
    claim: Claim
    writer: Writer
    next_offset: int = 0
    table: StreamTable = TABLE
    card: dict[str, Any] = field(default_factory=lambda: dict(CARD))
    night: datetime = NIGHT

    def at(self, offset: int, record: int = 0, item: int = 0, records: int = 1, items: int = 1) -> Coordinates:
        return Coordinates(self.claim.feed_id, self.claim.segment, offset, record, item, records, items)

    def result(self, offset: int, record: int = 0, item: int = 0, records: int = 1, items: int = 1, **other) -> Result:
        at = self.at(offset, record, item, records, items)
        alert = other.pop("alert", f"a{offset}.{record}.{item}")
        vector = np.random.default_rng(offset).normal(size=64).astype(np.float32)
        row = Result(
            at=at, model_id=other.pop("model_id", self.model_id),
            alert=alert, time=self.night + timedelta(seconds=offset), time_ns=None, object=f"o{offset % 7}",
            content_hash=blake2b(alert.encode(), digest_size=16).digest(), columns=(10.0, 20.0, 5, 1, 18.5), flags=0,
            latent=vector, stamp_latent=vector, probabilities=[0.25, 0.75], class_name="SN", scores=[1.5, None],
            anomaly=0.5, reference="toy-reference", unscorable=None, appended_at=self.night,
        )  # fmt: skip
        return replace(row, **other)

    def dead(self, offset: int, record: int = 0, item: int = 0, records: int = 1, items: int = 1) -> DeadLetter:
        return DeadLetter(self.at(offset, record, item, records, items), "container", "MalformedError", "cut short")

    def batch(self, results=(), dead=(), empty=(), *, next_offset: int, holes: tuple[Hole, ...] = ()) -> Batch:
        run = Run(
            self.claim.feed_id, self.claim.epoch, self.claim.segment, self.next_offset, next_offset, holes
        )  # fmt: skip
        offsets = {row.at.offset for row in (*results, *dead)}
        messages = {
            (self.claim.feed_id, offset): RawMessage(b"bytes %d" % offset, None, [("k", b"v")], 1_700_000_000_000)
            for offset in offsets
        }
        named = [(self.claim.feed_id, self.claim.segment, *row) for row in empty]
        return Batch([run], list(results), list(dead), named, messages)

    def write(self, results=(), dead=(), empty=(), *, next_offset: int, holes: tuple[Hole, ...] = ()):
        outcome = self.writer.write(self.batch(results, dead, empty, next_offset=next_offset, holes=holes))
        self.next_offset = next_offset
        return outcome

    def fill(self, count: int):
        """Write `count` good messages of one alert each."""
        first = self.next_offset
        return self.write([self.result(first + i) for i in range(count)], next_offset=first + count)

    def value(self, query: str, *parameters: object) -> Any:
        row = self.connection.execute(query, parameters or None).fetchone()
        assert row is not None
        return row[0]

    def count(self, table: str) -> int:
        return self.value(f"SELECT count(*) FROM fulgor.{table}")


@pytest.fixture(scope="session")
def migrated_once(lasting_database: str) -> str:
    """URL of a database with the toy stream's tables, for all tests that leave the tables as they are."""
    with connect(lasting_database, vectors=False) as connection:
        migrate(connection, [TABLE])
    return lasting_database


@pytest.fixture
def migrated(migrated_once: str) -> Iterator[str]:
    """The same, empty at each test's beginning."""
    yield migrated_once
    with connect(migrated_once, vectors=False) as connection:
        for parent in ("toy_alert", "latent"):
            for (partition,) in connection.execute(
                "SELECT relid::regclass::text FROM pg_partition_tree(%s)"
                " WHERE isleaf AND relid::regclass::text !~ '_(early|late)$'",
                [f"fulgor.{parent}"],
            ).fetchall():
                connection.execute(f"DROP TABLE {partition}")
        for table in EMPTIED:
            connection.execute(f"DELETE FROM fulgor.{table}")
        for table, key in (("model", "model_id"), ("feed", "feed_id"), ("dead_letter", "dead_id")):
            connection.execute(f"ALTER TABLE fulgor.{table} ALTER COLUMN {key} RESTART")


@pytest.fixture
def toy(migrated: str) -> Iterator[Toy]:
    """A claimed feed of the toy stream at offset 0, and a second connection to look."""
    with connect(migrated) as writing, connect(migrated) as looking:
        model_id = register_model(looking, CARD)
        claimed = claim(looking, FeedKey("g", "c", "topic", "", 0), stream="toy", owner="test")
        assert open_segment(looking, claimed, 0, reason="earliest")
        yield Toy(migrated, looking, model_id, claimed, Writer(writing, TABLE))
