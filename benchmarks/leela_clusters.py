"""Clusters of real LEELA pulses, which carry no labels: are they more than an accident of the draw?

    python benchmarks/leela_clusters.py ../shared/data/leela/akrotiri_202302131710.npy --out clusters/

Latents of the pulses alone (``stamp_latent``) of the model that ships, along the components that hold nine tenths of
their variance; k-means. Stability: chunks are dealt into three parts, k-means is fitted on two of them, and the
adjusted Rand index of both is taken on the third; mean of many deals. The same is done for controls without clusters:
normal draws of the same covariance, and the latents with each component shuffled for itself. The number of clusters
is the one whose stability exceeds the mean of the normal controls most; each control may choose its own likewise,
and the share of controls that do as well as the pulses is what chance gives.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from leela import real
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from fulgor.models.leela.serving import LeelaModel, load
from fulgor.models.serving import SHIPPED
from fulgor.plots.files import write_figure
from fulgor.plots.pulses import pulse_gallery
from fulgor.plots.space import latent_space
from fulgor.preprocessing.leela import NOMINAL_INTERVAL_NS, LeelaChunk, LeelaFlag, prepare_together

COUNTS = range(2, 7)
VARIANCE = 0.9
EXAMPLES = 6
STARTS = 3


class Pulses(NamedTuple):
    """Pulses of a set of chunks: rows of ``facts`` are SNR, rise and width (us), polarity, main frequency (kHz)."""

    chunk: np.ndarray
    windows: np.ndarray
    latents: np.ndarray
    facts: np.ndarray


def pulses_of(chunks: list[LeelaChunk], model: LeelaModel, *, cut: bool) -> Pulses:
    """Return the pulses whose windows lie within their chunks, or all."""
    rows = []
    for number, (chunk, made) in enumerate(zip(chunks, prepare_together(chunks), strict=True)):
        step = chunk.interval_ns / 1000
        for place, (pulse, flags) in enumerate(zip(made.pulses, made.pulse_flags, strict=True)):
            outside = LeelaFlag.WINDOW_CUT in flags
            if cut or not outside:
                batch = {name: array[None] for name, array in made.arrays.items()}
                batch |= {"pulse": np.array([place + 1]), "chunk": np.zeros((1, 2), int)}
                window = made.arrays["windows"][place, 0]
                facts = (
                    pulse.snr,
                    pulse.rise * step,
                    (pulse.end - pulse.start) * step,
                    pulse.polarity,
                    main_khz(window),
                )
                latent = model.predict(batch)["stamp_latent"][0]
                rows.append((number, window, latent, facts))
    return Pulses(*map(np.array, zip(*rows, strict=True)))


def main_khz(window: np.ndarray) -> float:
    """Return the frequency at which the middle of a window has most power."""
    middle = window[len(window) // 4 : -len(window) // 4] * np.hanning(len(window) // 2)
    power = np.abs(np.fft.rfft(middle, 2048)) ** 2
    return float(np.fft.rfftfreq(2048, NOMINAL_INTERVAL_NS / 1e6)[power.argmax()])


def components(latents: np.ndarray) -> np.ndarray:
    """Return latents along the components that hold most of the variance."""
    centred = latents - latents.mean(0)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    kept = 1 + int(np.searchsorted(np.cumsum(spread**2) / (spread**2).sum(), VARIANCE))
    return centred @ axes[:kept].T


def fit(points: np.ndarray, count: int, random: np.random.Generator, starts: int = STARTS) -> KMeans:
    return KMeans(count, n_init=starts, random_state=int(random.integers(2**31))).fit(points)


def stability(points: np.ndarray, chunk: np.ndarray, repeats: int, random: np.random.Generator) -> np.ndarray:
    """Return the adjusted Rand indices (repeats, counts) of fits on two thirds of the chunks, on the last third."""
    found = np.empty((repeats, len(COUNTS)))
    names = np.unique(chunk)
    for repeat in range(repeats):
        part = dict(zip(random.permutation(names).tolist(), np.arange(len(names)) % 3, strict=True))
        of = np.array([part[name] for name in chunk.tolist()])
        for column, count in enumerate(COUNTS):
            one, other = (fit(points[of == k], count, random).predict(points[of == 2]) for k in (0, 1))
            found[repeat, column] = adjusted_rand_score(one, other)
    return found


def normal(points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return random.normal(size=points.shape) @ np.linalg.cholesky(np.cov(points.T)).T


def shuffled(points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return random.permuted(points, axis=0)


def told(pulses: Pulses, points: np.ndarray, given: argparse.Namespace) -> int:
    """Print the stabilities of the pulses and of the controls, and return the number of clusters."""
    random = np.random.default_rng(given.seed)
    deals = stability(points, pulses.chunk, given.repeats, random)
    own = deals.mean(0)
    controls = {
        name: np.stack(
            [
                stability(draw(points, random), pulses.chunk, given.control_repeats, random).mean(0)
                for _ in range(given.controls)
            ]
        )
        for name, draw in (("normal draws of the same covariance", normal), ("components shuffled", shuffled))
    }
    print(f"| adjusted Rand index; clusters: | {' | '.join(map(str, COUNTS))} |")
    print("|---|" + "---|" * len(COUNTS))
    cells = " | ".join(f"{mean:.2f} ± {spread:.2f}" for mean, spread in zip(own, deals.std(0), strict=True))
    print(f"| pulses (mean and spread of {given.repeats} deals) | {cells} |")
    for name, means in controls.items():
        cells = " | ".join(
            f"{m:.2f} ({a:.2f} to {b:.2f})" for m, a, b in zip(means.mean(0), means.min(0), means.max(0), strict=True)
        )
        print(f"| {name} (mean of {given.controls} draws of {given.control_repeats} deals, least to most) | {cells} |")
    usual = controls["normal draws of the same covariance"].mean(0)
    excess = own - usual
    for name, those in controls.items():
        best = (those - usual).max(1)
        print(f"\n{name}: {int((best >= excess.max()).sum())} of {len(best)} do as well as the pulses")
    return COUNTS[int(excess.argmax())]


def describe(pulses: Pulses, labels: np.ndarray, names: list[str]) -> dict[str, str]:
    print("\n| cluster | pulses | chunks | mean SNR | main frequency, kHz | rise, us | width, us | share positive |")
    print("|" + "---|" * 8)
    notes = {}
    for number, name in enumerate(names):
        here = labels == number
        snr, rise, width, polarity, khz = pulses.facts[here].mean(0)
        positive = (1 + polarity) / 2
        chunks = len(np.unique(pulses.chunk[here]))
        print(
            f"| {name} | {here.sum()} | {chunks} | {snr:.1f} | {khz:.1f} | {rise:.0f} | {width:.0f} | {positive:.2f} |"
        )
        notes[name] = f"{here.sum()} pulses, SNR {snr:.1f}, {khz:.1f} kHz, rise {rise:.0f} µs, {positive:.0%} positive"
    return notes


def draw(pulses: Pulses, points: np.ndarray, labels: np.ndarray, notes: dict[str, str], out: Path) -> None:
    """Draw the latents in space, and of each cluster the pulses that lie nearest to its middle."""
    names = list(notes)
    examples = {}
    for number, name in enumerate(names):
        here = np.flatnonzero(labels == number)
        far = ((points[here] - points[here].mean(0)) ** 2).sum(1)
        examples[name] = pulses.windows[here[np.argsort(far)[:EXAMPLES]]]
    out.mkdir(parents=True, exist_ok=True)
    heading = f"{len(labels)} real pulses: their own latents"
    write_figure(
        latent_space(pulses.latents, [names[k] for k in labels], names=names, heading=heading), out / "space.png"
    )
    write_figure(pulse_gallery(examples, notes, "Pulses nearest to the middle of their cluster"), out / "examples.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("real", type=Path, help="field file")
    parser.add_argument("--model", type=Path, default=SHIPPED / "leela")
    parser.add_argument("--cut", action="store_true", help="also pulses whose windows an edge cuts")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--control-repeats", type=int, default=10)
    parser.add_argument("--controls", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("clusters"))
    given = parser.parse_args()
    pulses = pulses_of(real(given.real), load(given.model, "cpu"), cut=given.cut)
    points = components(pulses.latents)
    print(f"{len(points)} pulses of {len(np.unique(pulses.chunk))} chunks, {points.shape[1]} components\n")
    count = told(pulses, points, given)
    labels = fit(points, count, np.random.default_rng(given.seed), starts=20).labels_
    order = np.argsort(-np.bincount(labels))
    labels = np.argsort(order)[labels]
    notes = describe(pulses, labels, [f"cluster {number + 1}" for number in range(count)])
    draw(pulses, points, labels, notes, given.out)


if __name__ == "__main__":
    main()
