"""LEELA figures: shift test, linking of repeated pulses, accuracy against SNR, cost of a chunk.

    python benchmarks/leela.py --real ../shared/data/leela/akrotiri_202302131710.npy shift link accuracy cost

Simulated figures are of seed 99, which no model was trained on. Costs are CPU seconds of this process.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from fulgor.models.leela.dataset import ChunkExample, LeelaDataset
from fulgor.models.leela.layout import CLASSES, LOG_SNR
from fulgor.models.leela.serving import load
from fulgor.models.serving import SHIPPED
from fulgor.preprocessing.leela import LeelaChunk, LeelaDecoder, PreparedChunk, prepare
from fulgor.preprocessing.leela.chunk import chunk_of
from fulgor.preprocessing.records import AvroRecord
from fulgor.replay.archive import open_archive
from fulgor.replay.simulate.leela import simulate

SIZE = 1024
SHIFTS = (-64, -32, -1, 1, 32, 64)
LINK_SHIFT = 200
SAME_PLACE = 6


def simulated(count: int, seed: int = 99) -> list[tuple[LeelaChunk, str, str]]:
    return [
        (
            chunk_of(AvroRecord(0, each.record, b"")),
            each.label,
            each.seen[0].discharge.flash if each.seen else each.name,
        )
        for each in simulate(count, seed)
    ]


def real(path: Path) -> list[LeelaChunk]:
    decode = LeelaDecoder()
    return [chunk for message in open_archive(path) for chunk in decode(message.value) if isinstance(chunk, LeelaChunk)]


def stretches(chunks: list[LeelaChunk]) -> list[tuple[LeelaChunk, np.ndarray]]:
    """Return chunks whose both neighbours are known, with the 3 x 1024 samples around them."""
    by_site = defaultdict(list)
    for chunk in chunks:
        by_site[chunk.name].append(chunk)
    found = []
    for site in by_site.values():
        site.sort(key=lambda chunk: chunk.start_ns)
        for a, b, c in zip(site, site[1:], site[2:], strict=False):
            touches = [
                abs(y.start_ns - x.start_ns - SIZE * x.interval_ns) < x.interval_ns / 2 for x, y in ((a, b), (b, c))
            ]
            if all(touches):
                found.append((b, np.concatenate([a.samples, b.samples, c.samples])))
    return found


def crop(chunk: LeelaChunk, stretch: np.ndarray, shift: int) -> PreparedChunk:
    first = SIZE + shift
    return prepare(dataclasses.replace(chunk, samples=stretch[first : first + SIZE]))


def pulse_outputs(model, prepared: PreparedChunk, at: float) -> dict | None:
    """Return the outputs of the pulse that peaks near a sample."""
    near = [n for n, pulse in enumerate(prepared.pulses) if abs(pulse.peak_at - at) < SAME_PLACE]
    if not near:
        return None
    rows = {name: array[None] for name, array in prepared.arrays.items()}
    return model.predict({**rows, "pulse": np.array([near[0] + 1]), "chunk": np.zeros((1, 2), np.int64)})


def same_pulses(one: PreparedChunk, other: PreparedChunk, step: int) -> bool:
    """Tell whether two crops, one `step` samples after the other, show the same pulses."""
    first = sorted(pulse.peak_at for pulse in one.pulses)
    second = sorted(pulse.peak_at + step for pulse in other.pulses)
    return len(first) == len(second) and np.allclose(first, second, rtol=0, atol=SAME_PLACE)


def told(outputs: dict) -> np.ndarray:
    """Return a pulse's scores and its anomaly."""
    return np.append(outputs["scores"][0], outputs["anomaly"][0])


def shift(chunks: list[LeelaChunk], model, what: str) -> None:
    every, changes, company, lost = [], [], [], 0
    for chunk, stretch in stretches(chunks):
        middle = crop(chunk, stretch, 0)
        inside = [pulse for pulse in middle.pulses if 128 + 64 <= pulse.peak < SIZE - 128 - 64]
        crops = {step: crop(chunk, stretch, step) for step in SHIFTS} if inside else {}
        for pulse in inside:
            own = pulse_outputs(model, middle, pulse.peak_at)
            every.append(told(own))
            for step, moved in crops.items():
                other = pulse_outputs(model, moved, pulse.peak_at - step)
                if other is None:
                    lost += 1
                else:
                    changes.append(np.abs(told(other) - told(own)))
                    company.append(same_pulses(middle, moved, step))
    if len(every) < 4:
        print(f"shift, {what}: only {len(every)} pulses")
        return
    share, company = np.array(changes) / np.subtract(*np.percentile(every, [75, 25], axis=0)), np.array(company)
    print(f"shift, {what}: {len(every)} pulses, {len(changes) + lost} shifts, {lost} not found again")
    for name, column in zip((*model.scores, "anomaly"), share.T, strict=True):
        for which, chosen in (("all", column), ("crops with the same pulses", column[company])):
            q = np.percentile(chosen, [50, 90, 99]) * 100
            change = f"{q[0]:.2f} / {q[1]:.2f} / {q[2]:.2f} % of the IQR (50/90/99 % of {len(chosen)})"
            print(f"shift, {what}: {name}, {which}: {change}")


def recall(one: np.ndarray, other: np.ndarray) -> float:
    one, other = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (one, other))
    return float((np.argmax(one @ other.T, axis=1) == np.arange(len(one))).mean())


class Pair(NamedTuple):
    """One pulse in two crops, and our outputs for it in both."""

    one: PreparedChunk
    other: PreparedChunk
    ours: tuple[dict, dict]


def pairs(chunks: list[LeelaChunk], model) -> list[Pair]:
    """Return every pulse that stays inside the guard, in two crops that lie LINK_SHIFT samples apart."""
    found = []
    for chunk, stretch in stretches(chunks):
        a, b = crop(chunk, stretch, 0), crop(chunk, stretch, LINK_SHIFT)
        for pulse in a.pulses:
            if 128 + LINK_SHIFT <= pulse.peak < SIZE - 128:
                ours = pulse_outputs(model, a, pulse.peak_at), pulse_outputs(model, b, pulse.peak_at - LINK_SHIFT)
                if None not in ours:
                    found.append(Pair(a, b, ours))
    return found


def link(chunks: list[LeelaChunk], model, what: str) -> None:
    found = pairs(chunks, model)
    if len(found) < 4:
        print(f"link, {what}: only {len(found)} pulses")
        return
    for name in ("stamp_latent", "latent"):
        one, other = (np.stack([pair.ours[k][name][0] for pair in found]) for k in (0, 1))
        print(f"link, {what}: {name}: recall@1 {recall(one, other):.3f} of {len(found)} pulses")


def gather(rows: list[tuple[LeelaChunk, str, str]]) -> LeelaDataset:
    prepared = ((prepare(chunk).arrays, label, flash) for chunk, label, flash in rows)
    return LeelaDataset.gather(ChunkExample(*each) for each in prepared if each[0])


def accuracy(rows: list[tuple[LeelaChunk, str, str]], model) -> None:
    data = gather(rows)
    hits, snr = [], []
    for n in range(len(data)):
        windows, scalars, place = data.take(np.array([n]))
        count = int((place >= 0).sum())
        row = model.predict(
            {
                "windows": windows[None],
                "scalars": scalars[:, :count],
                "pulse": np.zeros(1, int),
                "chunk": np.zeros((1, 2), int),
            }
        )
        hits.append(row["probabilities"][0].argmax() == data.labels[n])
        snr.append(np.exp(scalars[0, :count, LOG_SNR].max()))
    hits, snr = np.array(hits), np.array(snr)
    print(f"accuracy, simulated seed 99: {hits.mean():.3f} over {len(hits)} chunks")
    for low, high in ((0, 5), (5, 7), (7, 10), (10, 20), (20, 50), (50, 1e9)):
        chosen = (snr >= low) & (snr < high)
        if chosen.any():
            print(f"  strongest pulse's SNR {low} to {high:g}: {hits[chosen].mean():.3f} ({chosen.sum()} chunks)")
    for number, name in enumerate(CLASSES):
        chosen = data.labels == number
        print(f"  {name}: {hits[chosen].mean():.3f} ({chosen.sum()})")


def cost(chunks: list[LeelaChunk], values: list[bytes], model) -> None:
    decode = LeelaDecoder()
    started = time.process_time()
    for value in values:
        decode(value)
    decoded = time.process_time()
    found = [prepare(chunk) for chunk in chunks]
    prepared = time.process_time()
    groups = defaultdict(list)
    for number, each in enumerate(found):
        for pulse in range(len(each.pulses) + 1):
            groups[len(each.arrays["scalars"])].append((number, pulse))
    for rows in groups.values():
        model.predict(
            {
                "windows": np.stack([found[n].arrays["windows"] for n, _ in rows]),
                "scalars": np.stack([found[n].arrays["scalars"] for n, _ in rows]),
                "pulse": np.array([pulse for _, pulse in rows]),
                "chunk": np.array([(n, n) for n, _ in rows]),
            }
        )
    done = time.process_time()
    for name, seconds, count in (
        ("decode", decoded - started, len(values)),
        ("prepare", prepared - decoded, len(chunks)),
        ("infer", done - prepared, len(chunks)),
    ):
        print(f"cost: {name} {seconds / count * 1e6:.0f} us of CPU a chunk ({count / seconds:.0f}/s and core)")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="+", choices=("shift", "link", "accuracy", "cost"))
    parser.add_argument("--real", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--model", type=Path, default=SHIPPED / "leela")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load(arguments.model, "cpu")
    sets = {}
    if {"shift", "link", "accuracy"} & set(arguments.what):
        rows = simulated(arguments.count)
        sets["simulated"] = [row[0] for row in rows]
    if arguments.real:
        sets["real"] = real(arguments.real)
    for name, chunks in sets.items():
        if "shift" in arguments.what:
            shift(chunks, model, name)
        if "link" in arguments.what:
            link(chunks, model, name)
    if "accuracy" in arguments.what:
        accuracy(rows, model)
    if "cost" in arguments.what and arguments.real:
        cost(sets["real"], [message.value for message in open_archive(arguments.real)], model)


if __name__ == "__main__":
    main()
