"""How a recording lies on disk.

::

    RECORDING/
    ├── recording.json                 the cluster that it was taken from, and the version of this form
    ├── messages/TOPIC/NAME.parquet    the messages: topic, partition, offset, timestamp, key, headers, value
    ├── index/TOPIC/NAME.parquet       one row an alert: alert, object, time, where its message lies
    ├── schemas/HASH.avsc              each writer schema once, to look at
    └── locks/                         who records what, while it does

A NAME begins with the night (UTC date of the Kafka timestamps). A file under ``messages`` is whole or
it is not there: it is written as NAME.part and renamed when it is on disk. Which offsets it deals with
stands in its own footer, so that data and offsets become visible in one step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from fulgor.errors import ArchiveError

__all__ = [
    "COMPRESSION",
    "FORMAT",
    "INDEX",
    "MESSAGES",
    "PART",
    "SUFFIX",
    "FileFacts",
    "index_path",
    "message_files",
    "open_parquet",
    "read_facts",
]

FORMAT: Final = 1
SUFFIX: Final = ".parquet"
PART: Final = ".part"
FACTS_KEY: Final = b"fulgor"
COMPRESSION: Final = {"compression": "zstd", "compression_level": 1, "write_page_checksum": True}

MESSAGES: Final = pa.schema(
    [
        pa.field("topic", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", pa.timestamp("ms", "UTC")),
        pa.field("key", pa.binary()),
        pa.field(
            "headers",
            pa.list_(pa.struct([pa.field("name", pa.string(), nullable=False), pa.field("value", pa.binary())])),
            nullable=False,
        ),
        pa.field("value", pa.binary()),
    ]
)
"""Columns of a file of messages; a null value is a tombstone."""

INDEX: Final = pa.schema(
    [
        pa.field("alert", pa.string()),
        pa.field("object", pa.string()),
        pa.field("time", pa.timestamp("ms", "UTC")),
        pa.field("record", pa.int32(), nullable=False),
        pa.field("topic", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("schema", pa.string()),
    ]
)
"""Columns of an index; a message without an alert that could be read has one row with nulls."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the footer of a file of messages says.

    Parameters
    ----------
    cluster, topic, topic_id : str
        Where the messages came from; a topic deleted and made anew has another id.
    group : str
        Consumer group of the recorder.
    night : str
        UTC date of the Kafka timestamps, ``undated`` without them.
    messages, size, largest : int
        Number of messages, sum of their values' sizes, largest value.
    covered : mapping of str to list of [first, after]
        Offsets dealt with, by partition: those of the messages, and those that hold none.
    """

    cluster: str
    topic: str
    topic_id: str
    group: str
    night: str
    messages: int
    size: int
    largest: int
    covered: Mapping[str, list[list[int]]]

    def encode(self) -> dict[bytes, bytes]:
        """Return the footer's entry."""
        return {FACTS_KEY: json.dumps({"format": FORMAT, **asdict(self)}).encode()}


def message_files(root: Path) -> list[Path]:
    """Return the whole files of messages, sorted by path."""
    return sorted((root / "messages").glob(f"*/*{SUFFIX}"))


def index_path(root: Path, file: Path) -> Path:
    """Return where the index of a file of messages lies."""
    return root / "index" / file.parent.name / file.name


def open_parquet(file: Path, columns: pa.Schema = MESSAGES) -> Any:
    """Open a Parquet file whose pages are checked as they are read.

    Parameters
    ----------
    file : Path
        The file.
    columns : Schema
        What it has to hold. A footer has no checksum of its own: a name, a type or a number of rows that is damaged
        there would make other messages of the same pages.

    Raises
    ------
    ArchiveError
        It cannot be opened, or is cut or damaged.
    """
    try:
        opened = pq.ParquetFile(file, page_checksum_verification=True)
        whole = opened.schema_arrow.equals(columns) and _rows(opened.metadata) == opened.metadata.num_rows
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ArchiveError(f"{file}: cut or damaged, cannot be read: {error}") from error
    if not whole:
        opened.close()
        raise ArchiveError(
            f"{file}: cut or damaged, or no file of a recording: its footer tells of other columns or rows"
        )
    return opened


def _rows(metadata: Any) -> int:
    return sum(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))


def read_facts(file: Path) -> FileFacts:
    """Read a footer.

    Raises
    ------
    ArchiveError
        The file is cut or damaged, or no part of a recording.
    """
    with open_parquet(file) as opened:
        entries = opened.metadata.metadata or {}
        count = opened.metadata.num_rows
    try:
        found = json.loads(entries[FACTS_KEY])
        version = found.pop("format")
        facts = FileFacts(**found)
    except (KeyError, ValueError, TypeError) as error:
        raise ArchiveError(f"{file}: not a file of a recording: its footer says nothing of offsets") from error
    if version != FORMAT:
        raise ArchiveError(f"{file}: written in form {version}, this program reads {FORMAT}: take a newer one")
    if facts.messages != count:
        raise ArchiveError(f"{file}: damaged: holds {count} messages, its footer claims {facts.messages}")
    return facts
