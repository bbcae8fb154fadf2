"""One file of messages while it is written: whole in the end, or gone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from fulgor.consumer.source import Polled
from fulgor.replay.record.coverage import Ranges
from fulgor.replay.record.disk import disk_errors, sync_folder, write_whole
from fulgor.replay.record.identify import Identify
from fulgor.replay.record.index import IndexRow, index_rows, schema_of, write_index
from fulgor.replay.record.layout import COMPRESSION, MESSAGES, PART, FileFacts

__all__ = ["GROUP_BYTES", "MessageFile"]

GROUP_BYTES: Final = 1 << 20
"""Values in a row group, the least that is read at random: larger ones shrink the file by nothing (measured)."""
GROUP_ROWS: Final = 1024


class MessageFile:
    """Takes messages of one topic and night, and becomes visible when it is closed.

    Parameters
    ----------
    root : Path
        The recording.
    name : str
        Path below ``messages``, without a suffix.
    origin : FileFacts
        Where the messages come from; counts are filled in.
    identify : callable
        Finds the alerts of a message, for the index.
    """

    def __init__(self, root: Path, name: str, origin: FileFacts, identify: Identify) -> None:
        self.path = root / "messages" / f"{name}.parquet"
        self.opened = monotonic()
        self.messages = 0
        self.written = 0
        self._root = root
        self._origin = origin
        self._identify = identify
        self._covered: dict[int, Ranges] = {}
        self._rows: list[Polled] = []
        self._row_bytes = 0
        self._bytes = self._largest = 0
        self._index: list[IndexRow] = []
        self._schemas: dict[str, bytes] = {}
        self._part = self.path.with_name(self.path.name + PART)
        with disk_errors(self._part):
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("wb", buffering=0)
        self._writer = pq.ParquetWriter(
            self._file, MESSAGES, use_dictionary=["topic"], write_statistics=["partition", "offset"], **COMPRESSION
        )

    def add(self, message: Polled, first: int) -> None:
        """Take a message; the offsets from `first` to before its own hold none."""
        self.cover(message.partition.number, first, message.offset + 1)
        schema = schema_of(message.value)
        if schema is not None:
            self._schemas[schema.name] = schema.text
        self._index += index_rows(message, self.messages, schema, self._identify)
        size = len(message.value or b"")
        self.messages += 1
        self._bytes += size
        self._largest = max(self._largest, size)
        self._rows.append(message)
        self._row_bytes += size
        if self._row_bytes >= GROUP_BYTES or len(self._rows) >= GROUP_ROWS:
            self._write_group()

    def cover(self, partition: int, first: int, after: int) -> None:
        """Note offsets that are dealt with."""
        self._covered.setdefault(partition, Ranges()).add(first, after)

    def close(self) -> FileFacts:
        """Bring everything to disk, then make the file visible under its name, then write its index.

        Raises
        ------
        DiskFullError, ArchiveError
            It cannot be written; call :meth:`abandon`.
        """
        with disk_errors(self.path):
            self._write_group()
            facts = self._facts()
            self._writer.add_key_value_metadata(facts.encode())
            self._writer.close()
            self._sync()
            self._part.rename(self.path)
            sync_folder(self.path.parent)
        self._write_schemas()
        write_index(self._root, self.path, self._index)
        return facts

    def abandon(self) -> None:
        """Remove what was written."""
        # A writer that failed fails again when it is closed; left open it would do so when it is collected.
        with suppress(OSError, ValueError, pa.ArrowException):
            self._writer.close()
        self._file.close()
        self._part.unlink(missing_ok=True)

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()

    def _facts(self) -> FileFacts:
        origin = self._origin
        covered = {str(number): [list(pair) for pair in ranges] for number, ranges in sorted(self._covered.items())}
        return FileFacts(
            origin.cluster, origin.topic, origin.topic_id, origin.group, origin.night,
            self.messages, self._bytes, self._largest, covered,
        )  # fmt: skip

    def _write_group(self) -> None:
        if self._rows:
            with disk_errors(self._part):
                self._writer.write_table(message_table(self._rows))
                self.written = self._file.tell()
        self._rows, self._row_bytes = [], 0

    def _write_schemas(self) -> None:
        folder = self._root / "schemas"
        with disk_errors(folder):
            folder.mkdir(exist_ok=True)
            for name, text in self._schemas.items():
                path = folder / f"{name}.avsc"
                if not path.exists():
                    write_whole(path, text)


def message_table(rows: Sequence[Polled]) -> Any:
    """Return messages as a table of the form :data:`fulgor.replay.record.layout.MESSAGES`."""
    headers = [[{"name": name, "value": value} for name, value in row.headers or ()] for row in rows]
    return pa.Table.from_arrays(
        [
            pa.array([row.partition.topic for row in rows], pa.string()),
            pa.array([row.partition.number for row in rows], pa.int32()),
            pa.array([row.offset for row in rows], pa.int64()),
            pa.array([row.timestamp_ms for row in rows], pa.timestamp("ms", "UTC")),
            pa.array([row.key for row in rows], pa.binary()),
            pa.array(headers, MESSAGES.field("headers").type),
            pa.array([row.value for row in rows], pa.binary()),
        ],
        schema=MESSAGES,
    )
