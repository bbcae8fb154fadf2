"""How fast training reads its alerts: ways to the stamps of 256 at random, FITS in the messages among them.

    python benchmarks/trainingsets.py --archive FOLDER [--count 2000]

Containers are split into one alert a message. Rates are of processor time on one core; files lie in the page cache.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from clock import clocked

from fulgor.consumer.settings import load_settings
from fulgor.consumer.stream import Stream
from fulgor.preprocessing.fits import read_stamp
from fulgor.preprocessing.ztf import ZtfDecoder
from fulgor.replay.archive import open_archive
from fulgor.replay.trainingset import TrainingSet, prepare_set
from fulgor.streams.registry import instrument

BATCH = 256
GROUP = 64


@dataclass
class Ways:
    """The same alerts in each form, and how each is read: by indices, ascending."""

    stream: Stream
    values: list[bytes]
    found: TrainingSet
    half: np.ndarray
    parquet: Path

    @classmethod
    def laid_out(cls, archive: str, count: int, work: Path) -> Ways:
        """Write every form into a folder."""
        stream = instrument("ztf", load_settings({}))
        values = [message.value for message in islice(open_archive(archive, split=True), count)]
        (work / "files").mkdir()
        for number, value in enumerate(values):
            (work / "files" / f"{number:06}.avro").write_bytes(value)
        found = prepared(work, stream)
        stamps = np.asarray(found.arrays["stamps"])
        np.save(work / "half.npy", stamps.astype(np.float16))
        table = pa.table({"stamps": [row.tobytes() for row in stamps]})
        pq.write_table(table, work / "stamps.parquet", compression="zstd", row_group_size=GROUP)
        return cls(stream, values, found, np.load(work / "half.npy", mmap_mode="r"), work / "stamps.parquet")

    def from_set(self, index: np.ndarray) -> np.ndarray:
        return self.found.arrays["stamps"][index]

    def all_inputs(self, index: np.ndarray) -> dict[str, np.ndarray]:
        return self.found.dataset({}, ("SN",)).take(index)

    def from_half(self, index: np.ndarray) -> np.ndarray:
        return self.half[index].astype(np.float32)

    def from_parquet(self, index: np.ndarray) -> np.ndarray:
        with pq.ParquetFile(self.parquet) as opened:
            rows = [opened.read_row_group(k // GROUP, use_threads=False)["stamps"][k % GROUP].as_py() for k in index]
        return np.stack([np.frombuffer(row, np.float32).reshape(self.half.shape[1:]) for row in rows])

    def from_fits(self, index: np.ndarray) -> list[np.ndarray]:
        decode = ZtfDecoder()
        return [read_stamp(cutout).pixels for k in index for cutout in decode(self.values[k])[0].cutouts]

    def as_live(self, index: np.ndarray) -> np.ndarray:
        items = [self.stream.prepare(self.stream.decode(self.values[k])[0])[0] for k in index]
        return np.stack([item.arrays["stamps"] for item in items])


def prepared(work: Path, stream: Stream) -> TrainingSet:
    began, cpu = time.monotonic(), time.process_time()
    found = prepare_set(open_archive(work / "files"), stream, work / "cache")
    seconds = time.process_time() - cpu
    size = sum(file.stat().st_size for file in found.folder.iterdir())
    print(
        f"prepared once: {len(found)} alerts, {len(found) / seconds:.0f}/s of processor time"
        f" ({time.monotonic() - began:.1f} s of wall time), {size / len(found):.0f} bytes each\n"
    )
    return found


def measure(ways: Ways) -> None:
    """Print the rate of each way, and its ratio to the first: FITS, and nothing else."""
    forms: dict[str, tuple[Callable[[np.ndarray], object], int]] = {
        "message: Avro, gzip, FITS, no preparation": (ways.from_fits, 6),
        "message: decoded and prepared as live": (ways.as_live, 3),
        f"prepared, Parquet zstd, row groups of {GROUP}": (ways.from_parquet, 3),
        "prepared, .npy, mapped, float16 to float32": (ways.from_half, 40),
        "prepared, .npy, mapped, float32, all inputs": (ways.all_inputs, 40),
        "prepared, .npy, mapped, float32 (the set)": (ways.from_set, 80),
    }
    drawn = np.random.default_rng(1)
    print(f"| {BATCH} alerts at random from | stamps/s (3 an alert) | times FITS |\n|---|---|---|")
    base = 0.0
    for name, (way, rounds) in forms.items():
        batches = [np.sort(drawn.choice(len(ways.found), BATCH)) for _ in range(rounds)]
        way(batches[0])
        rate = 3 * BATCH * rounds / clocked(lambda way=way, batches=batches: [way(index) for index in batches])
        base = base or rate
        print(f"| {name} | {rate:.0f} | {rate / base:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", required=True)
    parser.add_argument("--count", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fulgor-sets-") as work:
        measure(Ways.laid_out(arguments.archive, arguments.count, Path(work)))


if __name__ == "__main__":
    main()
