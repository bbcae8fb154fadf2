"""How well simulated ZTF alerts can be told from real ones: the simulator's gap, as AUROC (0.5: not at all).

    OMP_NUM_THREADS=1 python benchmarks/gap.py --data ../shared/data --count 1500 --seed 1 --why

Two kinds of judges, each on folds by object: boosting on simple statistics of each stamp, on the metadata and on the
light curve; a small convolutional net on the pixels. Both get what a model gets, prepared as live, and no more:
the central pixels that the shipped encoder sees, and the metadata without positions, which tell where a survey
looked. A class's figure is of its labelled real alerts against its simulated ones, by the same judge. The alerts of
the frozen score reference take no part; where metadata and light curves are judged, nor do those whose archive
overwrote the distances to catalogued sources. The last column is a control: how well the same judge tells real alerts
without a label from labelled ones, which come from other nights. No simulator need be better than that.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from baselines import simulated_alerts
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from torch import nn

from fulgor.models.dataset import Dataset, Example
from fulgor.models.encoder import central_crop
from fulgor.models.evaluation.bootstrap import Bootstrap
from fulgor.models.evaluation.folds import Split, deal, reference_objects, splits
from fulgor.models.evaluation.metrics import auroc
from fulgor.models.layout import AHEAD, CLASSES, DETECTION, LOG_ERROR, MAGNITUDE
from fulgor.preprocessing.ztf import ZtfAlert, ZtfDecoder, prepare
from fulgor.preprocessing.ztf.features import FEATURE_NAMES
from fulgor.replay.archive import open_archive
from fulgor.replay.labelled import labelled_alerts

STAMPS = ("science", "template", "difference")
OVERWRITTEN = 120.0
"""The distance that one archive wrote into all of its alerts."""

POSITIONS = ("ra", "dec", "ecl_lat", "ecl_long", "gal_lat", "gal_long")
SIZE = 31
"""Central pixels that are looked at, as the shipped encoder does."""

PASSES = 10
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
RINGS = (0.0, 1.5, 3.0, 5.0, 8.0, 12.0, 16.0)
Table = dict[str, np.ndarray]
JudgeOf = Callable[[np.ndarray, np.ndarray, list[Split]], np.ndarray]


def real_alerts(data: Path) -> Dataset:
    """Return the labelled alerts, and those without a label that are not of the score reference."""
    frozen = reference_objects()

    def found() -> Iterator[Example]:
        for one in labelled_alerts(data / "ztf"):
            if one.label in CLASSES and one.alert.object_id not in frozen:
                yield Example(prepare(one.alert).arrays, one.label, one.alert.object_id)
        decode = ZtfDecoder()
        for message in open_archive(data / "ztf_unlabelled"):
            for alert in decode(message.value):
                if isinstance(alert, ZtfAlert) and alert.object_id not in frozen:
                    yield Example(prepare(alert).arrays, None, alert.object_id)

    return Dataset.gather(found(), CLASSES)


def joined(real: Dataset, simulated: Dataset) -> Dataset:
    arrays = {name: np.concatenate([real.arrays[name], simulated.arrays[name]]) for name in real.arrays}
    labels, objects = (
        np.concatenate([getattr(one, name) for one in (real, simulated)]) for name in ("labels", "objects")
    )
    return Dataset(arrays, labels, objects, CLASSES)


def pixels(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the central stamps, and whether a pixel is valid: (N, 3, SIZE, SIZE)."""
    stamps, masks = (np.asarray(dataset.arrays[name], dtype=np.float32) for name in ("stamps", "masks"))
    return central_crop(stamps, SIZE), central_crop(masks, SIZE) > 0


def stamp_numbers(stamp: np.ndarray, valid: np.ndarray) -> dict[str, float]:
    """Return simple statistics of one prepared stamp (scaled by sky noise, asinh)."""
    values = stamp[valid] if valid.any() else np.zeros(1, np.float32)
    numbers = dict(zip((f"quantile {q}" for q in QUANTILES), np.quantile(values, QUANTILES).tolist(), strict=True))
    middle = numbers["quantile 0.5"]
    spread = 1.4826 * float(np.median(np.abs(values - middle))) or 1.0
    axis = np.arange(SIZE) - SIZE // 2
    radius = np.hypot(axis[:, None], axis[None, :])
    for inner, outer in pairwise(RINGS):
        ring = valid & (radius >= inner) & (radius < outer)
        numbers[f"ring {inner}"] = float(stamp[ring].mean()) if ring.any() else np.nan
    sky = np.where(valid & (np.abs(stamp - middle) < 3.0 * spread), stamp - middle, np.nan)
    variance = float(np.nanmean(sky * sky)) or 1.0
    for name, one, other in (
        ("rows", sky[:, 1:], sky[:, :-1]),
        ("columns", sky[1:], sky[:-1]),
        ("diagonal", sky[1:, 1:], sky[:-1, :-1]),
        ("second", sky[:, 2:], sky[:, :-2]),
    ):
        both = one * other
        numbers[f"correlation {name}"] = float(np.nanmean(both)) / variance if np.isfinite(both).any() else 0.0
    near = stamp[SIZE // 2 - 4 : SIZE // 2 + 5, SIZE // 2 - 4 : SIZE // 2 + 5]
    quarters = [part[np.isfinite(part)] for half in np.array_split(sky, 2) for part in np.array_split(half, 2, axis=1)]
    medians = [float(np.median(part)) for part in quarters if len(part)]
    return numbers | {
        "least": float(values.min()),
        "most": float(values.max()),
        "spread": spread,
        "beyond 3 sigma": float((np.abs(values - middle) > 3.0 * spread).mean()),
        "asymmetry": float(np.abs(near - near[::-1, ::-1]).mean()),
        "background slope": (max(medians) - min(medians)) / spread,
        "masked": 1.0 - float(valid.mean()),
    }


def stamp_tables(dataset: Dataset) -> dict[str, Table]:
    stamps, masks = pixels(dataset)
    tables = {}
    for channel, name in enumerate(STAMPS):
        rows = [stamp_numbers(one, mask) for one, mask in zip(stamps[:, channel], masks[:, channel], strict=True)]
        tables[name] = {f"{name} {key}": np.array([row[key] for row in rows]) for key in rows[0]}
    return tables


def metadata_table(dataset: Dataset) -> Table:
    features = dataset.arrays["features"]
    return {name: features[:, n] for n, name in enumerate(FEATURE_NAMES) if name not in POSITIONS}


def light_curve_table(dataset: Dataset) -> Table:
    sequence, known = dataset.arrays["sequence"], np.asarray(dataset.arrays["sequence_mask"]) > 0
    found = known & (sequence[:, :, DETECTION] > 0)

    def mean(column: int, where: np.ndarray) -> np.ndarray:
        return (sequence[:, :, column] * where).sum(1) / np.maximum(where.sum(1), 1)

    return {
        "steps": known.sum(1),
        "detections": found.sum(1),
        "longest ago": (sequence[:, :, AHEAD] * known).max(1),
        "detection longest ago": (sequence[:, :, AHEAD] * found).max(1),
        "mean magnitude": mean(MAGNITUDE, found),
        "mean limit": mean(MAGNITUDE, known & ~found),
        "mean log error": mean(LOG_ERROR, found),
        "magnitudes' spread": np.where(found, sequence[:, :, MAGNITUDE] - mean(MAGNITUDE, found)[:, None], 0.0).std(1),
    }


def boosted(
    matrix: np.ndarray, names: list[str], chosen: np.ndarray, truth: np.ndarray, folds: list[Split]
) -> np.ndarray:
    """Return how real each alert looks to boosting that saw none of its object; print what tells, if named."""
    matrix, score = matrix[chosen], np.empty(len(truth))
    weights = np.where(truth, 1.0 / truth.mean(), 1.0 / (1.0 - truth.mean()))
    for fold in folds:
        judge = HistGradientBoostingClassifier(max_iter=100, learning_rate=0.1, random_state=0)
        judge.fit(matrix[fold.train], truth[fold.train], sample_weight=weights[fold.train])
        score[fold.test] = judge.predict_proba(matrix[fold.test])[:, 1]
        if names and fold is folds[0]:
            found = permutation_importance(judge, matrix[fold.test], truth[fold.test], scoring="roc_auc", n_repeats=3)
            for n in np.argsort(-found.importances_mean)[:8]:
                print(f"    {names[n]}: {found.importances_mean[n]:.3f}")
    return score


class Judge(nn.Sequential):
    """A small net on stamps and masks."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 24, 3, 2), nn.ReLU(), nn.Conv2d(24, 32, 3, 2),
            nn.ReLU(), nn.Flatten(), nn.Linear(32 * 9, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 1),
        )  # fmt: skip


def convolved(images: torch.Tensor, chosen: np.ndarray, truth: np.ndarray, folds: list[Split]) -> np.ndarray:
    """Return how real each alert looks to a net that saw none of its object."""
    images, score, wanted = images[chosen], np.empty(len(truth)), torch.from_numpy(truth).float()
    for fold in folds:
        torch.manual_seed(fold.fold)
        random = np.random.default_rng(fold.fold)
        judge = Judge(images.shape[1])
        share = float(wanted[fold.train].mean())
        loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor((1.0 - share) / share))
        optimiser = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=1e-3)
        for _ in range(PASSES):
            for part in np.array_split(random.permutation(fold.train), len(fold.train) // 32):
                turned = torch.rot90(images[part], int(random.integers(4)), (2, 3))
                optimiser.zero_grad()
                loss(judge(turned).squeeze(1), wanted[part]).backward()
                optimiser.step()
        judge.eval()
        with torch.no_grad():
            score[fold.test] = judge(images[fold.test]).squeeze(1).numpy()
    return score


class Comparison:
    """The alerts that judges are asked about.

    Parameters
    ----------
    labels : ndarray
        int64 (N,): the class of each, negative where not known.
    objects : ndarray
        Unicode (N,).
    real : ndarray
        bool (N,).
    """

    def __init__(self, labels: np.ndarray, objects: np.ndarray, real: np.ndarray) -> None:
        self.labels, self.objects, self.real = labels, objects, real
        self.folds = list(splits(deal(objects, real.astype(np.int64))))

    def control(self, judge: JudgeOf) -> str:
        """Return the last cell: labelled real alerts against real ones without a label."""
        kept = np.flatnonzero(self.real)
        known = self.labels[kept] >= 0
        score = judge(kept, known, list(splits(deal(self.objects[kept], known.astype(np.int64)))))
        return f" {float(auroc(known, score)):.2f} |"

    def row(self, name: str, judge: JudgeOf) -> str:
        """Return a line of the table: all alerts with an interval over objects, and each class."""
        score = judge(np.arange(len(self.real)), self.real, self.folds)
        drawn = Bootstrap(self.objects, resamples=300)
        truth = self.real.astype(np.int64)
        cells = [str(drawn.interval(lambda true, told, weights: auroc(true > 0, told, weights), truth, score))]
        for number in range(len(CLASSES)):
            here = self.labels == number
            cells.append(f"{float(auroc(self.real[here], score[here])):.2f}")
        return f"| {name} | {' | '.join(cells)} |"


def ask_boosting(dataset: Dataset, real: np.ndarray, why: bool) -> None:
    tables = {f"{name} stamp": table for name, table in stamp_tables(dataset).items()}
    tables |= {"metadata": metadata_table(dataset), "light curve": light_curve_table(dataset)}
    whole = np.flatnonzero(tables["metadata"]["distpsnr1"] != OVERWRITTEN)
    everything = np.arange(len(dataset))
    for name, table in tables.items():
        used = everything if name.endswith("stamp") else whole
        matrix = np.stack(list(table.values()), axis=1)[used]
        asked = Comparison(dataset.labels[used], dataset.objects[used], real[used])
        line = asked.row(f"boosting: {name}", partial(boosted, matrix, list(table) if why else []))
        print(line + asked.control(partial(boosted, matrix, [])), flush=True)


def ask_nets(dataset: Dataset, real: np.ndarray) -> None:
    seen = torch.from_numpy(np.concatenate(pixels(dataset), axis=1).astype(np.float32))
    asked = Comparison(dataset.labels, dataset.objects, real)
    for name, channels in (*((f"{one} stamp", [n, n + 3]) for n, one in enumerate(STAMPS)), ("all stamps", range(6))):
        print(asked.row(f"net: {name}", partial(convolved, seen[:, list(channels)])) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[1].parent / "shared" / "data")
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--judges", choices=("all", "boosting", "nets"), default="all")
    parser.add_argument("--why", action="store_true", help="also print which numbers tell most")
    given = parser.parse_args()
    torch.set_num_threads(1)
    first = real_alerts(given.data)
    second = simulated_alerts(given.count, given.seed).dataset
    dataset = joined(first, second)
    real = np.arange(len(dataset)) < len(first)
    print(f"{len(first)} real alerts ({int((first.labels >= 0).sum())} labelled), {len(second)} simulated\n")
    print(f"| judge: what it sees | all | {' | '.join(CLASSES)} | control |\n|---|---|{'---|' * (len(CLASSES) + 1)}")
    if given.judges != "nets":
        ask_boosting(dataset, real, given.why)
    if given.judges != "boosting":
        ask_nets(dataset, real)


if __name__ == "__main__":
    main()
