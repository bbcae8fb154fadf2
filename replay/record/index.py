"""The index of a file of messages: one row an alert, made while recording and remade where it is missing."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fulgor.consumer.messages import Partition
from fulgor.consumer.source import Polled
from fulgor.errors import MalformedError
from fulgor.preprocessing.container import read_header
from fulgor.replay.record.disk import disk_errors, write_whole
from fulgor.replay.record.identify import Identify, Identity
from fulgor.replay.record.layout import COMPRESSION, INDEX, index_path, open_parquet

__all__ = ["IndexRow", "WriterSchema", "index_rows", "rebuild_index", "schema_of", "write_index"]


class WriterSchema(NamedTuple):
    """A container's schema: the first 16 hex digits of its SHA-256, and its JSON."""

    name: str
    text: bytes


class IndexRow(NamedTuple):
    """Where an alert lies; see :data:`fulgor.replay.record.layout.INDEX`."""

    alert: str | None
    object: str | None
    time_ms: int | None
    record: int
    topic: str
    partition: int
    offset: int
    position: int
    schema: str | None


def schema_of(value: bytes | None) -> WriterSchema | None:
    """Return the writer schema that a message carries; None where it carries none."""
    if not value:
        return None
    try:
        return _named(read_header(io.BytesIO(value)).schema)
    except MalformedError:
        return None


@lru_cache(maxsize=64)
def _named(text: bytes) -> WriterSchema:
    return WriterSchema(hashlib.sha256(text).hexdigest()[:16], text)


def index_rows(message: Polled, position: int, schema: WriterSchema | None, identify: Identify) -> list[IndexRow]:
    """Return the rows of a message: one an alert, or one with nulls.

    Parameters
    ----------
    message : Polled
        The message.
    position : int
        Its row in the file.
    schema : WriterSchema or None
        What it was written with.
    identify : callable
        Finds its alerts.
    """
    found = identify(message.value or b"") or [Identity(None, None, None, 0)]
    (topic, number), name = message.partition, schema.name if schema else None
    return [IndexRow(*identity, topic, number, message.offset, position, name) for identity in found]


def write_index(root: Path, file: Path, rows: Sequence[IndexRow]) -> None:
    """Write the index of a file of messages.

    Raises
    ------
    DiskFullError, ArchiveError
        It cannot be written.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    columns.insert(INDEX.get_field_index("file"), [file.relative_to(root).as_posix()] * len(rows))
    arrays = [pa.array(column, field.type) for column, field in zip(columns, INDEX, strict=True)]
    out, path = io.BytesIO(), index_path(root, file)
    pq.write_table(pa.Table.from_arrays(arrays, schema=INDEX), out, **COMPRESSION)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, out.getvalue())


def rebuild_index(root: Path, file: Path, identify: Identify) -> None:
    """Make the index of a file anew from its messages.

    Raises
    ------
    ArchiveError
        The file is cut or damaged.
    DiskFullError
        There is no space for the index.
    """
    rows: list[IndexRow] = []
    for position, message in enumerate(_messages(file)):
        rows += index_rows(message, position, schema_of(message.value), identify)
    write_index(root, file, rows)


def _messages(file: Path) -> Iterator[Polled]:
    columns = ["topic", "partition", "offset", "value"]
    with open_parquet(file) as opened:
        for number in range(opened.num_row_groups):
            yield from _rows(opened.read_row_group(number, columns, use_threads=False).to_pylist())


def _rows(rows: Iterable[dict[str, Any]]) -> Iterator[Polled]:
    for row in rows:
        yield Polled(Partition(row["topic"], row["partition"]), row["offset"], row["value"])
