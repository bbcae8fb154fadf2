"""Our LEELA latent beside the seed's variational autoencoder, and the segment lengths of the latter's periodogram.

    python benchmarks/leela_baseline.py segments classes unseen --real ../shared/data/leela/akrotiri_202302131710.npy

``segments``: the seed's autoencoder on periodograms of 32, 64 and 128 samples a segment: pixels rebuilt, neighbours
of the same class, and pulses found again in another crop, beside ours. ``classes``: how well either latent tells
the classes, by SNR. ``unseen``: a class left out of the training, found by either. ``picture``: the periodogram of
the chunk with the strongest pulse (of FILE where one is given), and what the seed's autoencoder rebuilds of it.
Everything but the real crops is **simulated**: trained on seed 98, tested on seed 97, which share no flash and no
model that ships was trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from leela import Pair, gather, pairs, real, recall, simulated
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from fulgor.models.evaluation.metrics import auroc
from fulgor.models.leela.layout import CLASSES, LOG_SNR
from fulgor.models.leela.serving import load
from fulgor.models.leela.training import LeelaConfig, infer, strangest, train
from fulgor.models.leela.vae import SeedVae, fit_vae
from fulgor.models.serving import SHIPPED
from fulgor.plots.periodogram import periodogram_picture
from fulgor.preprocessing.leela import LeelaChunk, PreparedChunk, periodogram, prepare

SEGMENTS = (32, 64, 128)
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
    stack = np.stack([periodogram(each.signal, 9142.857, segment) for each in prepared])
    return torch.from_numpy(stack[:, None]).float()


@torch.no_grad()
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


def segments(learned: Chunks, tested: Chunks, crops: dict[str, list[Pair]], model, epochs: int) -> None:
    print(f"| latent | numbers | pixels' rms error | neighbours' class, balanced | {' | '.join(crops)} |")
    print("|---|---|---|---|" + "---|" * len(crops))
    for segment in SEGMENTS:
        vae = fit_vae(images(learned.prepared, segment), epochs=epochs)
        test = images(tested.prepared, segment)
        with torch.no_grad():
            error = float(((vae(test)[0] - test) ** 2).mean().sqrt())
        told = neighbours(codes(vae, learned.prepared, segment), learned.labels, codes(vae, tested.prepared, segment))
        again = [
            nearest(*(codes(vae, [pair[k] for pair in found], segment) for k in (0, 1))) for found in crops.values()
        ]
        row = " | ".join(f"{value:.3f}" for value in (error, balanced(tested.labels, told), *again))
        print(f"| seed's autoencoder, segments of {segment} | 3 | {row} |", flush=True)
    told = neighbours(own(model, learned.prepared), learned.labels, own(model, tested.prepared))
    again = [recall(*(np.stack([p.ours[k]["stamp_latent"][0] for p in f]) for k in (0, 1))) for f in crops.values()]
    row = " | ".join(f"{value:.3f}" for value in (balanced(tested.labels, told), *again))
    print(f"| ours (class: latent; found again: the pulse's own) | 64 | | {row} |")


def classes(learned: Chunks, tested: Chunks, model, epochs: int) -> None:
    vae = fit_vae(images(learned.prepared, 64), epochs=epochs)
    told = {
        "seed's autoencoder, neighbours in 3 latents": neighbours(
            codes(vae, learned.prepared, 64), learned.labels, codes(vae, tested.prepared, 64)
        ),
        "ours, neighbours in 64 latents": neighbours(
            own(model, learned.prepared), learned.labels, own(model, tested.prepared)
        ),
        "ours, classifier": own(model, tested.prepared, "probabilities").argmax(1),
    }
    print("| accuracy | all | " + " | ".join(f"SNR {low} to {high:g}" for low, high in SNRS) + " |")
    print("|---|---|" + "---|" * len(SNRS))
    for name, found in told.items():
        hits = found == tested.labels
        parts = [hits.mean(), *(hits[(tested.snr >= a) & (tested.snr < b)].mean() for a, b in SNRS)]
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in parts) + " |")


def unseen(learned: Chunks, tested: Chunks, epochs: int) -> None:
    names = ("ours: anomaly", "ours: reconstruction", "seed's: pixels' error", "seed's: distance to 5 neighbours")
    table: dict[str, list[float]] = {name: [] for name in names}
    for number in range(1, len(CLASSES)):
        kept, odd = learned.without(number), tested.labels == number
        model = train(gather(kept.raw), LeelaConfig(epochs=epochs))
        data = gather(tested.raw)
        found = strangest(infer(model.network, data, np.arange(len(data))), model.reference)
        vae = fit_vae(images(kept.prepared, 64), epochs=epochs)
        test = images(tested.prepared, 64)
        with torch.no_grad():
            error = ((vae(test)[0] - test) ** 2).mean((1, 2, 3)).numpy()
        near = NearestNeighbors(n_neighbors=5).fit(codes(vae, kept.prepared, 64))
        far = near.kneighbors(codes(vae, tested.prepared, 64))[0].mean(1)
        scores = (model.reference.anomaly(found["scores"]), found["scores"][:, 0], error, far)
        for name, score in zip(names, scores, strict=True):
            table[name].append(auroc(odd, score))
    print("| left out | " + " | ".join(CLASSES[1:]) + " | mean |\n|" + "---|" * (len(CLASSES) + 1))
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in (*row, np.mean(row))) + " |")


def picture(learned: Chunks, asked: list[PreparedChunk], epochs: int, out: Path) -> None:
    vae = fit_vae(images(learned.prepared, 64), epochs=epochs)
    strongest = max(asked, key=lambda one: float(one.arrays["scalars"][:, LOG_SNR].max()))
    seen = images([strongest], 64)
    with torch.no_grad():
        rebuilt = vae(seen)[0]
    periodogram_picture(seen[0, 0].numpy(), 9142.857, rebuilt[0, 0].numpy()).savefig(out)
    print(f"picture: {out}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="+", choices=("segments", "classes", "unseen", "picture"))
    parser.add_argument("--real", type=Path, help="field file for crops of real pulses")
    parser.add_argument("--count", type=int, default=2000, help="chunks to train on; half as many test")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--model", type=Path, default=SHIPPED / "leela")
    parser.add_argument("--out", type=Path, default=Path("periodogram.png"), help="of the picture")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = load(given.model, "cpu")
    learned, tested = chunks(given.count, 98), chunks(given.count // 2, 97)
    if "segments" in given.what:
        crops = {"found again, simulated": pairs([row[0] for row in tested.raw], model)}
        if given.real:
            crops["found again, real"] = pairs(real(given.real), model)
        print(", ".join(f"{name}: {len(found)} pulses" for name, found in crops.items()))
        segments(learned, tested, crops, model, given.epochs)
    if "classes" in given.what:
        classes(learned, tested, model, given.epochs)
    if "unseen" in given.what:
        unseen(learned, tested, given.epochs)
    if "picture" in given.what:
        asked = [made for one in real(given.real) if (made := prepare(one)).arrays] if given.real else tested.prepared
        picture(learned, asked, given.epochs, given.out)


if __name__ == "__main__":
    main()
