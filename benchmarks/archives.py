"""Recordings and replays through a broker: is a round trip byte for byte the same, and is a replay on time?

    python benchmarks/archives.py trip     --archive FOLDER --bootstrap HOST:PORT
    python benchmarks/archives.py timing   --archive FOLDER --bootstrap HOST:PORT   (Apache Kafka: append times)

ARCHIVE holds alerts; containers are split into one alert a message.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from threading import Event

import numpy as np
from service import fresh_topic

from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.settings import Settings, load_settings
from fulgor.replay.archive import open_archive
from fulgor.replay.archived import TIME_HEADER, ArchivedMessage
from fulgor.replay.produce import ProduceOptions, produce
from fulgor.replay.record.identify import identify_ztf
from fulgor.replay.record.report import RecordOptions
from fulgor.replay.record.run import record


def fingerprint(messages: Iterator[ArchivedMessage]) -> tuple[int, str]:
    """Return how many messages there are, and a hash of keys, values and original headers that knows no order.

    The header that a replay adds is left out: what has no time in a file gets that of the first broker.
    """
    total, count = 0, 0
    for each in messages:
        headers = [header for header in each.headers if header[0] != TIME_HEADER]
        digest = hashlib.sha256(repr((each.key, hashlib.sha256(each.value).digest(), headers)).encode()).digest()
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
    original = fingerprint(iter(open_archive(arguments.archive, split=True)))
    print(f"count and hash of key, value, original headers: files {original}, recorded {one}, recorded again {two}")
    assert original == one == two


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["trip", "timing"])
    parser.add_argument("--archive", required=True)
    parser.add_argument("--bootstrap", required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fulgor-archives-") as work:
        {"trip": trip, "timing": timing}[arguments.what](arguments, Path(work))


if __name__ == "__main__":
    main()
