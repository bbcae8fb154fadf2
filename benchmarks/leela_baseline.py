"""Our LEELA latent beside the seed's variational autoencoder, and the segment lengths of the latter's periodogram.

    python benchmarks/leela_baseline.py segments classes unseen --real ../shared/data/leela/akrotiri_202302131710.npy

``segments``: the seed's autoencoder on periodograms of 32, 64 and 128 samples a segment: pixels rebuilt, neighbours
of the same class, and pulses found again in another crop, beside ours. ``classes``: how well either latent tells
the classes, by SNR. ``unseen``: a class left out of the training, found by either. ``picture``: the periodogram of
the chunk with the strongest pulse (of FILE where one is given), and what the seed's autoencoder rebuilds of it.
Everything but the real crops is **simulated**: trained on seed 98, tested on seed 97, which share no flash and no
model that ships was trained on. ``--only``, ``--segments`` and ``--left-out`` take parts of it. The
divergence weighs a tenth of the seed's: at the seed's own weight (``--divergence 1``) its latents fall silent.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from leela import Pair, gather, pairs, real, recall, simulated
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from fulgor.models.evaluation.metrics import auroc
from fulgor.models.leela.layout import CLASSES, LOG_SNR, SCORES
from fulgor.models.leela.serving import load
from fulgor.models.leela.training import LeelaConfig, infer, strangest, train
from fulgor.models.leela.vae import SeedVae, fit_vae
from fulgor.models.serving import SHIPPED
from fulgor.plots.periodogram import periodogram_picture
from fulgor.preprocessing.leela import LeelaChunk, PreparedChunk, periodogram, prepare
from fulgor.preprocessing.leela.periodogram import SEGMENT

Fit = Callable[[torch.Tensor], SeedVae]
Fitted = dict[int, SeedVae]
"""The seed's autoencoder for each length of segment."""
SEGMENTS = (32, 64, 128)
INTERVAL_NS = 9142.857
SNRS = ((0, 7), (7, 10), (10, 20), (20, 1e9))
NEIGHBOURS = 15


class Chunks(NamedTuple):
    """Chunks that can be prepared: raw, prepared, class numbers (N,), SNR of the strongest pulse (N,)."""

    raw: list[tuple[LeelaChunk, str, str]]
    prepared: list[PreparedChunk]
    labels: np.ndarray
    snr: np.ndarray

    def without(self, label: int) -> Chunks:
        kept = np.flatnonzero(self.labels != label)
        return Chunks([self.raw[n] for n in kept], [self.prepared[n] for n in kept], self.labels[kept], self.snr[kept])


def chunks(count: int, seed: int) -> Chunks:
    both = [(row, made) for row in simulated(count, seed) if (made := prepare(row[0])).arrays]
    labels = np.array([CLASSES.index(row[1]) for row, _ in both])
    snr = np.array([np.exp(made.arrays["scalars"][:, LOG_SNR].max()) for _, made in both])
    return Chunks([row for row, _ in both], [made for _, made in both], labels, snr)


def images(prepared: list[PreparedChunk], segment: int) -> torch.Tensor:
    stack = np.stack([periodogram(each.signal, INTERVAL_NS, segment) for each in prepared])
    return torch.from_numpy(stack[:, None]).float()


def codes(vae: SeedVae, prepared: list[PreparedChunk], segment: int) -> np.ndarray:
    return vae.encode(images(prepared, segment))[0].numpy()


def own(model, prepared: list[PreparedChunk], name: str = "latent") -> np.ndarray:
    """Return our latent of each chunk's strongest pulse."""
    found = []
    for each in prepared:
        strongest = int(each.arrays["scalars"][:, LOG_SNR].argmax())
        rows = {key: array[None] for key, array in each.arrays.items()}
        number = strongest + 1 if each.pulses else 0
        found.append(model.predict({**rows, "pulse": np.array([number]), "chunk": np.zeros((1, 2), int)})[name][0])
    return np.stack(found)


def neighbours(train_codes: np.ndarray, labels: np.ndarray, test_codes: np.ndarray) -> np.ndarray:
    scale = train_codes.std(0) + 1e-9
    return KNeighborsClassifier(NEIGHBOURS).fit(train_codes / scale, labels).predict(test_codes / scale)


def nearest(one: np.ndarray, other: np.ndarray) -> float:
    distance = ((one[:, None] - other[None]) ** 2).sum(2)
    return float((distance.argmin(1) == np.arange(len(one))).mean())


def balanced(truth: np.ndarray, told: np.ndarray) -> float:
    return float(np.mean([(told[truth == k] == k).mean() for k in np.unique(truth)]))


def segments(learned: Chunks, tested: Chunks, crops: dict[str, list[Pair]], fitted: Fitted, model) -> None:
    """Print a row for each segment length asked for, and one of ours where `model` is given."""
    columns = ("pixels' rms error", "mean picture's", "class by 15 neighbours, balanced", *crops)
    print(f"| latent | numbers | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    for segment, vae in fitted.items():
        known, test = images(learned.prepared, segment), images(tested.prepared, segment)
        errors = (float(((drawn - test) ** 2).mean().sqrt()) for drawn in (vae(test)[0], known.mean(0)))
        told = neighbours(codes(vae, learned.prepared, segment), learned.labels, codes(vae, tested.prepared, segment))
        again = [
            nearest(*(codes(vae, [pair[k] for pair in found], segment) for k in (0, 1))) for found in crops.values()
        ]
        row = " | ".join(f"{value:.3f}" for value in (*errors, balanced(tested.labels, told), *again))
        print(f"| seed's, segments of {segment} | 3 | {row} |", flush=True)
    if model:
        told = neighbours(own(model, learned.prepared), learned.labels, own(model, tested.prepared))
        again = [recall(*(np.stack([p.ours[k]["stamp_latent"][0] for p in f]) for k in (0, 1))) for f in crops.values()]
        row = " | ".join(f"{value:.3f}" for value in (balanced(tested.labels, told), *again))
        print(f"| ours (class: latent; found again: the pulse's own) | 64 | | | {row} |")


def classes(learned: Chunks, tested: Chunks, fitted: Fitted, model) -> None:
    """Print the accuracy of each latent, by SNR."""
    told = {
        f"seed's (segments of {segment}), neighbours in 3 latents": neighbours(
            codes(vae, learned.prepared, segment), learned.labels, codes(vae, tested.prepared, segment)
        )
        for segment, vae in fitted.items()
    }
    if model:
        found = own(model, tested.prepared)
        told["ours, neighbours in 64 latents"] = neighbours(own(model, learned.prepared), learned.labels, found)
        told["ours, classifier"] = own(model, tested.prepared, "probabilities").argmax(1)
    print("| accuracy | all | " + " | ".join(f"SNR {low} to {high:g}" for low, high in SNRS) + " |")
    print("|---|---|" + "---|" * len(SNRS))
    for name, found in told.items():
        hits = found == tested.labels
        parts = [hits.mean(), *(hits[(tested.snr >= a) & (tested.snr < b)].mean() for a, b in SNRS)]
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in parts) + " |")


def own_scores(kept: Chunks, tested: Chunks, epochs: int) -> dict[str, np.ndarray]:
    """Return the scores (N,) of a small network of ours that was trained on the kept chunks."""
    model = train(gather(kept.raw), LeelaConfig(epochs=epochs))
    data = gather(tested.raw)
    scores = strangest(infer(model.network, data, np.arange(len(data))), model.reference)["scores"]
    named = {f"ours: {name}": column for name, column in zip(SCORES, scores.T, strict=True)}
    return {"ours: anomaly": model.reference.anomaly(scores), **named}


def seed_scores(kept: Chunks, tested: Chunks, fit: Fit) -> dict[str, np.ndarray]:
    """Return the pixels' error and the distance to neighbours (N,) of the seed's autoencoder, fitted to the kept."""
    vae = fit(images(kept.prepared, SEGMENT))
    test = images(tested.prepared, SEGMENT)
    near = NearestNeighbors(n_neighbors=5).fit(codes(vae, kept.prepared, SEGMENT))
    return {
        "seed's: pixels' error": ((vae(test)[0] - test) ** 2).mean((1, 2, 3)).numpy(),
        "seed's: distance to 5 neighbours": near.kneighbors(codes(vae, tested.prepared, SEGMENT))[0].mean(1),
    }


def unseen(learned: Chunks, tested: Chunks, fit: Fit, given: argparse.Namespace) -> None:
    """Print how well each score tells the chunks of a class that was left out, for each class asked for."""
    table: dict[str, list[float]] = defaultdict(list)
    for number in map(CLASSES.index, given.left_out):
        kept, odd = learned.without(number), tested.labels == number
        scores: dict[str, np.ndarray] = {}
        if given.only != "seed":
            scores |= own_scores(kept, tested, given.epochs)
        if given.only != "ours":
            scores |= seed_scores(kept, tested, fit)
        for name, score in scores.items():
            table[name].append(auroc(odd, score))
    print("| left out | " + " | ".join(given.left_out) + " | mean |\n|" + "---|" * (len(given.left_out) + 2))
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in (*row, np.mean(row))) + " |")


def picture(vae: SeedVae, asked: list[PreparedChunk], out: Path) -> None:
    """Draw the chunk with the strongest pulse, and what the autoencoder rebuilds of it."""
    strongest = max(asked, key=lambda one: float(one.arrays["scalars"][:, LOG_SNR].max()))
    seen = images([strongest], SEGMENT)
    periodogram_picture(seen[0, 0].numpy(), INTERVAL_NS, vae(seen)[0][0, 0].numpy()).savefig(out)
    print(f"picture: {out}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="+", choices=("segments", "classes", "unseen", "picture"))
    parser.add_argument("--real", type=Path, help="field file for crops of real pulses")
    parser.add_argument("--count", type=int, default=1400, help="chunks to train on; half as many test")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--only", choices=("ours", "seed"), help="rows of one of the two")
    parser.add_argument("--segments", type=int, nargs="+", default=SEGMENTS, help="of `segments`")
    parser.add_argument("--left-out", nargs="+", choices=CLASSES[1:], default=CLASSES[1:], help="of `unseen`")
    parser.add_argument("--divergence", type=float, default=0.1, help="weight of the divergence; the seed's is 1")
    parser.add_argument("--as-written", action="store_true", help="the seed's start, from which its pictures go out")
    parser.add_argument("--model", type=Path, default=SHIPPED / "leela")
    parser.add_argument("--out", type=Path, default=Path("periodogram.png"), help="of the picture")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    ours = load(given.model, "cpu")
    model = None if given.only == "seed" else ours
    learned, tested = chunks(given.count, 98), chunks(given.count // 2, 97)

    fit = partial(fit_vae, epochs=given.epochs, divergence=given.divergence, as_written=given.as_written)

    @cache
    def fit_all(segment: int) -> SeedVae:
        return fit(images(learned.prepared, segment))

    def fitted(*asked: int) -> Fitted:
        return {} if given.only == "ours" else {segment: fit_all(segment) for segment in asked}

    if "segments" in given.what:
        crops = {"found again, simulated": pairs([row[0] for row in tested.raw], ours)}
        if given.real:
            crops["found again, real"] = pairs(real(given.real), ours)
        print(", ".join(f"{name}: {len(found)} pulses" for name, found in crops.items()))
        segments(learned, tested, crops, fitted(*given.segments), model)
    if "classes" in given.what:
        classes(learned, tested, fitted(SEGMENT), model)
    if "unseen" in given.what:
        unseen(learned, tested, fit, given)
    if "picture" in given.what:
        asked = [made for one in real(given.real) if (made := prepare(one)).arrays] if given.real else tested.prepared
        picture(fit_all(SEGMENT), asked, given.out)


if __name__ == "__main__":
    main()
