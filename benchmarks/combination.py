"""Which rule joins the anomaly scores: chosen on inner folds alone, then measured once in the outer ones.

    python benchmarks/combination.py --work /var/tmp/anomaly      # after benchmarks/anomaly.py, in its work folder

For each outer fold and class that plays the anomaly, a rule is chosen as if neither existed: models are trained
without that class, without one of the others, which plays the anomaly in its place, and without the outer fold and
an inner one, on which they are asked. One model serves both orders of two folds and of two classes, so that 100
trainings are all there is. Ways to choose, such as the best single score or a subset by Fisher's method, are compared
by how well what they choose with three classes finds the fourth. Each training is kept in the work folder.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from itertools import combinations, product
from pathlib import Path

import numpy as np
import torch
from anomaly import FINETUNE, NAMES, PRETRAIN, Parts, new_network, opened, percentiles, simulated_parts, train
from combining import CANDIDATES, SINGLE, WAYS, Candidate, Inner, Selection, Way, joined
from safetensors.torch import load_file, save_file

from fulgor.models.dataset import Dataset
from fulgor.models.evaluation import Bootstrap, outer_folds
from fulgor.models.evaluation.folds import OUTER
from fulgor.models.evaluation.metrics import auroc
from fulgor.models.layout import CLASSES
from fulgor.models.scores.suite import FEWEST
from fulgor.models.ztf import ZtfNetwork

Case = tuple[int, int]
"""An outer fold, and the number of the class that is left out."""


def pretrained(simulated: Dataset, classes: tuple[int, ...], work: Path) -> ZtfNetwork:
    """Return what simulated alerts of the other classes taught; train it where that is not done."""
    parts = simulated_parts(simulated, *classes)
    network = new_network(simulated, parts.train, PRETRAIN)
    weights = work / f"inner_{'_'.join(CLASSES[k] for k in classes)}.safetensors"
    if not weights.exists():
        train(network, simulated, parts, PRETRAIN)
        save_file({key: value.clone() for key, value in network.state_dict().items()}, weights)
    network.load_state_dict(load_file(weights))
    return network


def inner_parts(real: Dataset, folds: np.ndarray, asked: tuple[int, ...], classes: tuple[int, ...]) -> Parts:
    """Parts without two folds, whose alerts are asked about, and two classes; the reference stops the training.

    Without both of the largest classes, a few of the reference's objects must help out in the training.
    """
    known = ~np.isin(folds, asked) & ~np.isin(real.labels, classes)
    held = folds == min(set(range(OUTER)) - set(asked))
    short = max(FEWEST - int((known & ~held).sum()), 0)
    held &= ~np.isin(real.objects, np.unique(real.objects[known & held])[:short])
    reference = np.flatnonzero(known & held)
    return Parts(np.flatnonzero(known & ~held), reference, reference, np.flatnonzero(np.isin(folds, asked)))


def run_inner(simulated: Dataset, real: Dataset, folds: np.ndarray, work: Path) -> Inner:
    """Return the percentiles of the tested alerts by pair of classes and pair of folds; compute what is not there."""
    found: Inner = {}
    for classes in combinations(range(len(CLASSES)), 2):
        for asked in combinations(range(OUTER), 2):
            path = work / f"inner_{'_'.join(CLASSES[k] for k in classes)}_{asked[0]}{asked[1]}.npz"
            if not path.exists():
                network, parts = pretrained(simulated, classes, work), inner_parts(real, folds, asked, classes)
                train(network, real, parts, FINETUNE)
                np.savez(path, ranks=percentiles(network, real, parts), index=parts.test)
                print("inner run", path.stem, flush=True)
            ranks = np.full((len(folds), len(NAMES)), np.nan)
            with np.load(path) as kept:
                ranks[kept["index"]] = kept["ranks"]
            found[frozenset(classes), frozenset(asked)] = ranks
    return found


def outer_runs(work: Path, count: int) -> np.ndarray:
    """Return the percentiles (classes, N, scores) by the class that is left out, as anomaly.py has them."""
    ranks = np.full((len(CLASSES), count, len(NAMES)), np.nan)
    for number, fold in product(range(len(CLASSES)), range(OUTER)):
        run = opened(work / f"{CLASSES[number]}_{fold}.npz")
        ranks[number, run.index] = run.ranks
    return ranks


def best_way(selections: Mapping[Case, Selection]) -> Way:
    """Print what each way to choose comes to on inner folds, and what it chooses most often; return the best."""
    tried = {way: float(np.mean([way.tried(one) for one in selections.values()])) for way in WAYS}
    print("| way to choose | AUROC of a class that it did not know, inner folds | chosen most often |\n|---|---|---|")
    for way, area in tried.items():
        (often, times), *_ = Counter(str(way.chosen(one)) for one in selections.values()).most_common()
        print(f"| {way.name} | {area:.3f} | {often} ({times} of {len(selections)}) |")
    return max(tried, key=lambda way: tried[way])


class Outer:
    """What was chosen, in the outer folds; every alert by models that knew neither its object nor the class.

    Parameters
    ----------
    ranks : ndarray
        (classes, N, scores), see :func:`outer_runs`.
    objects, labels, folds : ndarray
        (N,).
    """

    def __init__(self, ranks: np.ndarray, objects: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> None:
        self.ranks, self.labels, self.folds = ranks, labels, folds
        self.boot = Bootstrap(objects)

    def fixed(self, candidate: Candidate) -> np.ndarray:
        """Return (classes, N) values of one candidate for all."""
        return np.stack([joined(ranks, [candidate])[:, 0] for ranks in self.ranks])

    def chosen(self, candidates: Mapping[Case, Candidate], inner: Mapping[Case, Selection]) -> np.ndarray:
        """Return (classes, N) values, each in the scale of what the same candidate gives the inner folds' inliers."""
        values = np.empty(self.ranks.shape[:2])
        for (fold, but), candidate in candidates.items():
            here = self.folds == fold
            scale = inner[fold, but].inliers(candidate)
            values[but, here] = np.searchsorted(scale, joined(self.ranks[but, here], [candidate])[:, 0]) / len(scale)
        return values

    def areas(self, values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the area under the curve by class, (classes,), and of weighted alerts (classes, resamples)."""
        return np.stack([auroc(self.labels == k, values[k], weights) for k in range(len(CLASSES))])

    def difference(self, one: np.ndarray, other: np.ndarray) -> str:
        """Return the difference of the means over classes, with its interval over objects."""
        value, drawn = (
            (self.areas(one, weights) - self.areas(other, weights)).mean(axis=0)
            for weights in (None, self.boot.weights)
        )
        low, high = np.nanquantile(drawn, [0.025, 0.975])
        return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def show_outer(outer: Outer, selections: Mapping[Case, Selection], way: Way) -> None:
    """Print what a way to choose comes to in the outer folds."""
    best, single = ({key: way.chosen(one) for key, one in selections.items()} for way in (way, WAYS[0]))
    weights = np.mean([one.weights for one in best.values()], axis=0)
    print(f"\n{way.name}: on average", ", ".join(f"{w:.2f} {name}" for w, name in zip(weights, NAMES, strict=True)))
    everything = next(one for one in CANDIDATES if len(one.scores) == len(NAMES))
    rows = {
        "chosen on inner folds": outer.chosen(best, selections),
        "single score chosen on inner folds": outer.chosen(single, selections),
        "mean percentile of all": outer.fixed(everything),
        **{str(CANDIDATES[k]): outer.fixed(CANDIDATES[k]) for k in SINGLE},
    }
    beside = ("chosen on inner folds", "mean percentile of all")
    print("| | " + " | ".join((*CLASSES, "mean", *(f"{name} less it" for name in beside))) + " |")
    print("|" + "---|" * (len(CLASSES) + 2 + len(beside)))
    for name, values in rows.items():
        areas = outer.areas(values)
        gains = ["" if name == other else outer.difference(rows[other], values) for other in beside]
        print("| " + " | ".join((name, *(f"{area:.3f}" for area in (*areas, np.mean(areas))), *gains)) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of benchmarks/anomaly.py")
    parser.add_argument("--outer", action="store_true", help="measure what was chosen in the outer folds, too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    simulated, real = (Dataset.open(given.work / name) for name in ("simulated", "real"))
    labels = np.asarray(real.labels)
    folds = outer_folds(real.objects, labels)
    inner = run_inner(simulated, real, folds, given.work)
    cases = product(range(OUTER), range(len(CLASSES)))
    selections = {(fold, but): Selection(inner, labels, folds, fold, but) for fold, but in cases}
    way = best_way(selections)
    if given.outer:
        show_outer(Outer(outer_runs(given.work, len(labels)), real.objects, labels, folds), selections, way)


if __name__ == "__main__":
    main()
