"""Archives measured: formats, the round trip through a broker, the timing of replays, training sets.

    python benchmarks/archives.py formats  --archive FOLDER [--count 2000]
    python benchmarks/archives.py trip     --archive FOLDER --bootstrap HOST:PORT
    python benchmarks/archives.py timing   --archive FOLDER --bootstrap HOST:PORT   (Apache Kafka: append times)
    python benchmarks/archives.py training --archive FOLDER [--count 2000]

ARCHIVE holds alerts; containers are split into one alert a message. Rates are of processor time on one core, which
a busy machine disturbs less than wall time; both are printed where they differ by design.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from threading import Event

import cramjam
import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from service import fresh_topic

from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.messages import Partition
from fulgor.consumer.settings import Settings, load_settings
from fulgor.consumer.source import Polled
from fulgor.preprocessing.avro.readers import encode_varint
from fulgor.preprocessing.container import read_blocks, read_header
from fulgor.preprocessing.fits import read_stamp
from fulgor.preprocessing.ztf import ZtfDecoder
from fulgor.replay.archive import open_archive
from fulgor.replay.archived import TIME_HEADER, ArchivedMessage
from fulgor.replay.produce import ProduceOptions, produce
from fulgor.replay.record.file import GROUP_BYTES, message_table
from fulgor.replay.record.identify import identify_ztf
from fulgor.replay.record.report import RecordOptions
from fulgor.replay.record.run import record
from fulgor.replay.trainingset import prepare_set
from fulgor.streams.registry import instrument

DRAWS = 200


def clocked(work: Callable[[], object]) -> float:
    """Return seconds of processor time."""
    began = time.process_time()
    work()
    return time.process_time() - began


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


def formats(arguments: argparse.Namespace, work: Path) -> None:
    values = [message.value for message in islice(open_archive(arguments.archive, split=True), arguments.count)]
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


def fingerprint(messages: Iterator[ArchivedMessage]) -> tuple[int, str]:
    """Return how many messages there are, and a hash of keys, values and headers that knows no order."""
    total, count = 0, 0
    for each in messages:
        digest = hashlib.sha256(repr((each.key, hashlib.sha256(each.value).digest(), each.headers)).encode()).digest()
        total, count = (total + int.from_bytes(digest, "big")) % 2**256, count + 1
    return count, f"{total:064x}"[:16]


def recorded(topic: str, out: Path, settings: Settings) -> str:
    began = time.monotonic()
    report = record(topic, out, settings, RecordOptions("", until_end=True), identify_ztf, Event())
    size = sum(file.stat().st_size for file in (out / "messages").rglob("*.parquet"))
    index = sum(file.stat().st_size for file in (out / "index").rglob("*.parquet"))
    return (
        f"{report.messages} messages, {report.bytes / 1e6:.0f} MB as {size / 1e6:.0f} MB + index {index / 1e6:.1f} MB;"
        f" {report.rate:.0f}/s of wall time ({time.monotonic() - began:.1f} s with joining)"
    )


def trip(arguments: argparse.Namespace, work: Path) -> None:
    settings = load_settings({"bootstrap": arguments.bootstrap})
    cluster = Cluster(settings.bootstrap, settings.kafka)
    with fresh_topic(arguments.bootstrap, 4) as first, fresh_topic(arguments.bootstrap, 4) as second:
        sent = produce(open_archive(arguments.archive, split=True), first, cluster)
        print(f"files -> topic: {sent.delivered} messages, {sent.rate:.0f}/s", flush=True)
        print("topic -> recording:", recorded(first, work / "one", settings), flush=True)
        again = produce(open_archive(work / "one"), second, cluster)
        print(f"recording -> topic: {again.delivered} messages, {again.rate:.0f}/s", flush=True)
        print("topic -> recording:", recorded(second, work / "two", settings), flush=True)
    one, two = (fingerprint(open_archive(work / name).messages()) for name in ("one", "two"))
    original = fingerprint(_with_time(message) for message in open_archive(arguments.archive, split=True))
    print(f"count and hash of key, value, headers: files {original}, recorded {one}, recorded again {two}")
    assert original == one == two


def _with_time(message: ArchivedMessage) -> ArchivedMessage:
    header = (TIME_HEADER, str(message.time_ms).encode())
    return ArchivedMessage(message.value, message.name, message.index, message.key, (header,))


def timing(arguments: argparse.Namespace, work: Path) -> None:
    """Compare append times with the times that were due."""
    settings = load_settings({"bootstrap": arguments.bootstrap})
    cluster = Cluster(settings.bootstrap, settings.kafka)
    # Bursts as after an exposure: 40 messages within 2 s; at speed 100 of a hundred times the length.
    for speed, pause in ((1.0, 2.0), (100.0, 200.0)):
        archive = Bursts(arguments.archive, pause)
        with fresh_topic(arguments.bootstrap, 1) as target:
            report = produce(archive, target, cluster, ProduceOptions(speed=speed))
            record(target, work / target, settings, RecordOptions("", until_end=True), identify_ztf, Event())
        found = list(open_archive(work / target))
        appended = np.array([message.timestamp_ms for message in found], float)
        due = np.array([message.time_ms for message in found], float) / speed
        shift = np.median(appended - due)  # the clock starts when the first message is acknowledged
        error = np.abs(appended - due - shift)
        late = report.lateness
        assert late is not None
        print(
            f"speed {speed:g}: {len(found)} messages in {report.seconds:.1f} s;"
            f" append time off by {np.median(error):.1f} ms (median), {np.quantile(error, 0.99):.1f} ms (p99);"
            f" handed to the client {late.median_ms:.2f} / {late.p99_ms:.2f} ms late",
            flush=True,
        )


class Bursts:
    """Messages of an archive in bursts: what `produce` needs of an archive."""

    def __init__(self, path: str, pause: float) -> None:
        self.path, self.others, self.problems, self.largest = Path(path), {}, [], None
        self._values = [message.value for message in islice(open_archive(path, split=True), 600)]
        self._pause = pause

    def __iter__(self) -> Iterator[ArchivedMessage]:
        for index, value in enumerate(self._values):
            time_ms = round(1.7e12 + 1e3 * self._pause * (index // 40) + 2.5 * self._pause * (index % 40))
            yield ArchivedMessage(value, str(index), index, timestamp_ms=time_ms)


def training(arguments: argparse.Namespace, work: Path) -> None:
    """Compare ways to the stamps of 256 alerts at random."""
    stream = instrument("ztf", load_settings({}))
    values = [message.value for message in islice(open_archive(arguments.archive, split=True), arguments.count)]
    (work / "files").mkdir()
    for number, value in enumerate(values):
        (work / "files" / f"{number:06}.avro").write_bytes(value)
    began, cpu = time.monotonic(), time.process_time()
    found = prepare_set(open_archive(work / "files"), stream, work / "cache")
    seconds = time.process_time() - cpu
    size = sum(file.stat().st_size for file in found.folder.iterdir())
    print(
        f"prepared once: {len(found)} alerts, {len(found) / seconds:.0f}/s of processor time"
        f" ({time.monotonic() - began:.1f} s of wall time), {size / len(found):.0f} bytes each\n"
    )
    stamps = np.asarray(found.arrays["stamps"])
    np.save(work / "half.npy", stamps.astype(np.float16))
    half = np.load(work / "half.npy", mmap_mode="r")
    table = pa.table({"stamps": [row.tobytes() for row in stamps]})
    pq.write_table(table, work / "stamps.parquet", compression="zstd", row_group_size=64)
    dataset, decode = found.dataset({}, ("SN",)), ZtfDecoder()

    def from_parquet(index: np.ndarray) -> np.ndarray:
        with pq.ParquetFile(work / "stamps.parquet") as opened:
            rows = [opened.read_row_group(k // 64, use_threads=False)["stamps"][k % 64].as_py() for k in index]
        return np.stack([np.frombuffer(row, np.float32).reshape(stamps.shape[1:]) for row in rows])

    def from_fits(index: np.ndarray) -> list[np.ndarray]:
        return [read_stamp(cutout) for k in index for cutout in decode(values[k])[0].cutouts]

    def prepared_live(index: np.ndarray) -> np.ndarray:
        items = [stream.prepare(stream.decode(values[k])[0])[0] for k in index]
        return np.stack([item.arrays["stamps"] for item in items])

    ways = {
        ".npy, mapped, float32 (the set)": (lambda index: found.arrays["stamps"][index], 40),
        ".npy, mapped, all five inputs": (lambda index: dataset.take(index), 20),
        ".npy, mapped, float16 to float32": (lambda index: half[index].astype(np.float32), 20),
        "Parquet zstd, row groups of 64": (from_parquet, 1),
        "message: Avro, gzip, FITS, no preparation": (from_fits, 2),
        "message: decoded and prepared as live": (prepared_live, 1),
    }
    drawn = np.random.default_rng(1)
    print("| 256 alerts at random from | stamps/s (3 an alert) | times |\n|---|---|---|")
    base = 0.0
    for name, (way, rounds) in reversed(ways.items()):
        batches = [np.sort(drawn.choice(len(found), 256)) for _ in range(rounds)]
        way(batches[0])
        rate = 3 * 256 * rounds / clocked(lambda way=way, batches=batches: [way(index) for index in batches])
        base = base or rate
        print(f"| {name} | {rate:.0f} | {rate / base:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["formats", "trip", "timing", "training"])
    parser.add_argument("--archive", required=True)
    parser.add_argument("--bootstrap")
    parser.add_argument("--count", type=int, default=2000)
    arguments = parser.parse_args()
    if arguments.what in {"trip", "timing"} and not arguments.bootstrap:
        parser.error(f"{arguments.what} needs --bootstrap")
    work = Path(tempfile.mkdtemp(prefix="fulgor-archives-"))
    try:
        {"formats": formats, "trip": trip, "timing": timing, "training": training}[arguments.what](arguments, work)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
