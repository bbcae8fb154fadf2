"""Forms of a recording measured: bytes a message, messages written and read, one at random.

    python benchmarks/archive_formats.py --archive FOLDER [--count 2000]

ARCHIVE holds alerts; containers are split into one alert a message. Rates are of processor time on one core, which
a busy machine disturbs less than wall time.
"""

from __future__ import annotations

import argparse
import io
import random
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cramjam
import fastavro
import numpy as np
import pyarrow.parquet as pq
from clock import clocked

from fulgor.consumer.messages import Partition
from fulgor.consumer.source import Polled
from fulgor.preprocessing.avro.readers import encode_varint
from fulgor.preprocessing.container import read_blocks, read_header
from fulgor.replay.archive import open_archive
from fulgor.replay.record.file import GROUP_BYTES, message_table

DRAWS = 200


def groups(values: list[bytes], limit: int) -> Iterator[list[Polled]]:
    """Yield messages in groups of so many bytes."""
    rows, size = [], 0
    for offset, value in enumerate(values):
        rows.append(Polled(Partition("t", 0), offset, value, b"key", (), 1_700_000_000_000 + offset))
        size += len(value)
        if size >= limit:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


class Parquet:
    """Whole values; the form of recordings."""

    def __init__(self, codec: str, level: int | None, limit: int) -> None:
        self.name = f"Parquet {codec}{'' if level is None else f' {level}'}, row groups of {limit >> 10} KiB"
        self._settings = {"compression": codec, "compression_level": level, "write_page_checksum": True}
        self._limit = limit

    def write(self, path: Path, values: list[bytes]) -> None:
        with pq.ParquetWriter(path, message_table(next(groups(values, 1))).schema, **self._settings) as writer:
            for rows in groups(values, self._limit):
                writer.write_table(message_table(rows))

    def read(self, path: Path) -> Iterator[bytes]:
        with pq.ParquetFile(path, page_checksum_verification=True) as opened:
            for group in range(opened.num_row_groups):
                yield from opened.read_row_group(group, use_threads=False)["value"].to_pylist()

    def draw(self, path: Path, indices: list[int]) -> Iterator[bytes]:
        with pq.ParquetFile(path, page_checksum_verification=True) as opened:
            starts = np.cumsum([0] + [opened.metadata.row_group(k).num_rows for k in range(opened.num_row_groups)])
            for index in indices:
                group = int(np.searchsorted(starts, index, "right")) - 1
                table = opened.read_row_group(group, ["value"], use_threads=False)
                yield table["value"][index - int(starts[group])].as_py()


RECORD = {
    "type": "record",
    "name": "message",
    "fields": [{"name": "offset", "type": "long"}, {"name": "value", "type": "bytes"}],
}


class Avro:
    """Containers of (offset, value), blocks appended one by one; `apart` keeps each value's head outside."""

    SYNC = b"0123456789abcdef"

    def __init__(self, codec: str, limit: int, *, apart: bool = False) -> None:
        self.name = f"Avro {codec}, blocks of {limit >> 10} KiB{', schemas apart' if apart else ''}"
        self._codec, self._limit, self._apart = codec, limit, apart
        self._places: list[tuple[int, int]] = []
        self._heads: list[bytes] = []

    def _pack(self, body: bytes) -> bytes:
        return bytes(cramjam.zstd.compress(body, level=1)) if self._codec == "zstandard" else body

    def _split(self, value: bytes) -> tuple[bytes, bytes]:
        if not self._apart:
            return b"", value
        end = len(read_header(io.BytesIO(value)).raw) - 16
        return value[:end], value[end:]

    def write(self, path: Path, values: list[bytes]) -> None:
        head = io.BytesIO()
        fastavro.writer(head, RECORD, [], codec="null", sync_marker=self.SYNC)
        self._places, self._heads, known = [], [], {}
        with path.open("wb") as file:
            file.write(head.getvalue())
            for rows in groups(values, self._limit):
                parts = []
                for number, row in enumerate(rows):
                    first, rest = self._split(row.value or b"")
                    self._heads.append(known.setdefault(first, first))
                    parts += [encode_varint(row.offset), encode_varint(len(rest)), rest]
                    self._places.append((file.tell(), number))
                body = self._pack(b"".join(parts))
                file.write(encode_varint(len(rows)) + encode_varint(len(body)) + body + self.SYNC)
        path.with_suffix(".heads").write_bytes(b"".join(known))

    def _rows(self, payload: bytes, count: int) -> Iterator[bytes]:
        body = bytes(cramjam.zstd.decompress(payload)) if self._codec == "zstandard" else payload
        at = 0
        for _ in range(count):
            _, at = _varint(body, at)
            size, at = _varint(body, at)
            yield body[at : at + size]
            at += size

    def read(self, path: Path) -> Iterator[bytes]:
        heads = iter(self._heads)
        with path.open("rb") as file:
            header = read_header(file)
            for block in read_blocks(file, header):
                yield from (next(heads) + rest for rest in self._rows(block.payload, block.count))

    def draw(self, path: Path, indices: list[int]) -> Iterator[bytes]:
        with path.open("rb") as file:
            header = read_header(file)
            for index in indices:
                at, number = self._places[index]
                file.seek(at)
                block = next(iter(read_blocks(file, header)))
                yield self._heads[index] + list(self._rows(block.payload, block.count))[number]


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value >> 1, at


def formats(archive: str, count: int, work: Path) -> None:
    values = [message.value for message in islice(open_archive(archive, split=True), count)]
    message_table(next(groups(values, 1)))  # its first call imports pandas
    picks = random.Random(1).choices(range(len(values)), k=DRAWS)
    print(f"{len(values)} messages, {sum(map(len, values)) / len(values):.0f} bytes each; rates per core-second\n")
    print("| form | bytes/message | written/s | read/s | one at random |\n|---|---|---|---|---|")
    forms = [Parquet("zstd", 1, limit) for limit in (1 << 18, GROUP_BYTES, 1 << 22)]
    forms += [Parquet("zstd", 3, GROUP_BYTES), Parquet("lz4", None, GROUP_BYTES), Parquet("none", None, GROUP_BYTES)]
    avro = [("zstandard", False), ("zstandard", True), ("null", False), ("null", True)]
    for form in (*forms, *(Avro(codec, GROUP_BYTES, apart=apart) for codec, apart in avro)):
        path = work / "form"
        written = clocked(lambda form=form, path=path: form.write(path, values))
        size = sum(file.stat().st_size for file in work.iterdir())
        read = clocked(lambda form=form, path=path: check(form.read(path), values))
        drawn = clocked(lambda form=form, path=path: check(form.draw(path, picks), [values[k] for k in picks]))
        rates = f"{len(values) / written:.0f} | {len(values) / read:.0f} | {1e3 * drawn / DRAWS:.2f} ms"
        print(f"| {form.name} | {size / len(values):.0f} | {rates} |", flush=True)


def check(found: Iterator[bytes], expected: list[bytes]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one == other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", required=True)
    parser.add_argument("--count", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fulgor-formats-") as work:
        formats(arguments.archive, arguments.count, Path(work))


if __name__ == "__main__":
    main()
