"""Simulated chunks beside the real ones: a table for docs/leela.md and a picture of spectra and strengths.

python benchmarks/compare_leela.py ../shared/data/leela/akrotiri_202302131710.npy --picture docs/leela.png
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np

from fulgor.preprocessing.leela import LeelaChunk, LeelaDecoder, PreparedChunk, prepare
from fulgor.preprocessing.leela.chunk import chunk_of
from fulgor.preprocessing.records import AvroRecord
from fulgor.replay.archive import open_archive
from fulgor.replay.simulate.leela import simulate

QUANTILES = (5, 25, 50, 75, 95)
BANDS = (50, 200, 400, 600, 1000, 2000, 3000, 4000, 6000, 8000, 12000, 18000, 22000, 25000, 30000, 44000, 48000)
RATE = 1e9 / 9142.86
# The real chunks are of a site on Cyprus; this simulated one stands as far from the storms.
FAR_SITE = "Halos"


def density(chunks: list[LeelaChunk]) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies and the median amplitude density, counts per root hertz."""
    samples = np.array([chunk.samples for chunk in chunks])
    taper = np.hanning(samples.shape[1])
    power = np.abs(np.fft.rfft((samples - samples.mean(1, keepdims=True)) * taper, axis=1)) ** 2
    scale = RATE * (taper**2).sum() * np.log(2)  # the median of an exponential distribution is log 2
    return np.fft.rfftfreq(samples.shape[1], 1 / RATE), np.sqrt(2 * np.median(power, axis=0) / scale)


def row(name: str, columns: list[np.ndarray], form: str = ".3g") -> str:
    cells = [" / ".join(format(x, form) for x in np.percentile(column, QUANTILES)) for column in columns]
    return f"| {name} | {' | '.join(cells)} |"


def table(sets: dict[str, tuple[list[LeelaChunk], list[PreparedChunk]]]) -> None:
    names = list(sets)
    print(f"| quantity: {' / '.join(map(str, QUANTILES))} % | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    chunks, prepared = [s[0] for s in sets.values()], [s[1] for s in sets.values()]
    print(row("mean of a chunk, counts", [np.array([c.samples.mean() for c in s]) for s in chunks], ".0f"))
    print(row("standard deviation, counts", [np.array([c.samples.std() for c in s]) for s in chunks], ".0f"))
    print(row("noise in the pass band, counts", [np.array([p.noise for p in s]) for s in prepared], ".1f"))
    for name, unit, form in (("snr", 1, ".1f"), ("amplitude", 1, ".0f"), ("rise", 9.143, ".0f")):
        values = [np.array([getattr(q, name) * unit for p in s for q in p.pulses]) for s in prepared]
        print(row(f"{name} of pulses{', us' if unit != 1 else ''}", values, form))
    widths = [np.array([(q.end - q.start) * 9.143 for p in s for q in p.pulses]) for s in prepared]
    print(row("width of pulses, us", widths, ".0f"))
    shares = [f"{np.mean([not p.pulses for p in s]):.2f}" for s in prepared]
    print(f"| share of chunks without a pulse | {' | '.join(shares)} |")
    positive = [f"{np.mean([q.polarity > 0 for p in s for q in p.pulses]):.2f}" for s in prepared]
    print(f"| share of positive pulses | {' | '.join(positive)} |")
    spectra = [density(s) for s in chunks]
    print(f"\n| band, Hz: median counts per root Hz | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for low, high in pairwise(BANDS):
        cells = [f"{np.sqrt((d[(f >= low) & (f < high)] ** 2).mean()):.3f}" for f, d in spectra]
        print(f"| {low} to {high} | {' | '.join(cells)} |")


def picture(sets: dict[str, tuple[list[LeelaChunk], list[PreparedChunk]]], path: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), constrained_layout=True)
    for name, (chunks, prepared) in sets.items():
        frequencies, found = density(chunks)
        left.loglog(frequencies[1:], found[1:], lw=1, label=name)
        snr = np.sort([q.snr for p in prepared for q in p.pulses])
        right.loglog(snr, 1 - np.arange(len(snr)) / len(snr), lw=1.5, label=name)
    left.set(xlabel="frequency (Hz)", ylabel="median density (counts / √Hz)", title="Spectra of chunks")
    right.set(xlabel="SNR of a pulse", ylabel="share of pulses above", title="Strengths of pulses")
    for axes in (left, right):
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("real", type=Path)
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    decode = LeelaDecoder()
    real = [c for m in open_archive(arguments.real) for c in decode(m.value) if isinstance(c, LeelaChunk)]
    simulated = [chunk_of(AvroRecord(0, each.record, b"")) for each in simulate(arguments.count, 3)]
    far = [chunk for chunk in simulated if chunk.site == FAR_SITE]
    sets = {"real": real, "simulated, all sites": simulated, "simulated, the far site": far}
    both = {name: (chunks, [prepare(chunk) for chunk in chunks]) for name, chunks in sets.items()}
    print(", ".join(f"{len(chunks)} {name}" for name, chunks in sets.items()), "\n")
    table(both)
    if arguments.picture:
        picture(both, arguments.picture)


if __name__ == "__main__":
    main()
