"""Leave-one-class-out: how well each anomaly score finds a class that nothing was trained on.

    python benchmarks/anomaly.py --data ../shared/data --work /var/tmp/anomaly

The class that plays the anomaly is kept out of the encoder (its simulated pre-training and its
fine-tuning), the centres, the flow, the forest, the neighbours and the reference; no unlabelled real
alert, which might be of that class, is used at all. Real alerts are tested in the frozen outer folds,
each by the model of its own fold; what it scores becomes a percentile in that fold's reference, so that
folds can be pooled. Each run is kept in the work folder: a second call goes on where the first stopped.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from geotransform import SIZE, GeoTransform
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr

from fulgor.models.dataset import Dataset, Example
from fulgor.models.evaluation import Bootstrap, inner_splits, outer_folds
from fulgor.models.evaluation.folds import OUTER
from fulgor.models.evaluation.metrics import auroc
from fulgor.models.fitting import TrainingConfig, fit, infer
from fulgor.models.layout import CLASSES
from fulgor.models.layout import SCORES as GRAPH_SCORES
from fulgor.models.reference import FEWEST, Reference
from fulgor.models.scores.suite import FITTED, ScoreSuite
from fulgor.models.ztf import Architecture, ZtfNetwork
from fulgor.preprocessing.ztf import ZtfDecoder, prepare
from fulgor.preprocessing.ztf.features import FEATURE_NAMES
from fulgor.replay.labelled import labelled_alerts
from fulgor.replay.simulate.ztf import encode, simulate

NAMES = (*GRAPH_SCORES, *FITTED)
PUBLISHED = "published, on data that we do not have: GeoTransform .9139 (Reyes & Estevez 2020, ZTF stamps)"
SIMULATED = {"train": 1200, "validation": 120, "reference": 250, "test": 300}
PRETRAIN = TrainingConfig(size=21, width=4, epochs=5, seed=0)
FINETUNE = TrainingConfig(size=21, width=4, epochs=5, rate=1e-3, seed=0)
GEO_STEPS = {"simulated": 200, "real": 80}


class Run(NamedTuple):
    """Percentiles (N, scores) and GeoTransform's (N,) of tested alerts, by their numbers (N,)."""

    index: np.ndarray
    ranks: np.ndarray
    geo: np.ndarray


class Parts(NamedTuple):
    """Numbers of alerts; none but those tested is of the class that is left out."""

    train: np.ndarray
    validation: np.ndarray
    reference: np.ndarray
    test: np.ndarray


def real_alerts(data: Path) -> Dataset:
    """Every labelled alert that can be scored; those without a label are left out."""

    def examples() -> Iterator[Example]:
        for alert, label, _ in labelled_alerts(data / "ztf"):
            prepared = prepare(alert)
            if label in CLASSES and not prepared.unscorable:
                yield Example(prepared.arrays, label, alert.object_id)

    return Dataset.gather(examples(), CLASSES)


def simulated_alerts(count: int, seed: int) -> Dataset:
    decoder = ZtfDecoder()

    def examples() -> Iterator[Example]:
        for made in simulate(count, seed):
            for alert in decoder(encode([made.record])):
                prepared = prepare(alert)
                if not prepared.unscorable:
                    yield Example(prepared.arrays, made.label, alert.object_id)

    return Dataset.gather(examples(), CLASSES)


def kept(folder: Path, make: Any) -> Dataset:
    if not (folder / "labels.npy").exists():
        make().save(folder)
    return Dataset.open(folder)


def new_network(dataset: Dataset, index: np.ndarray, config: TrainingConfig) -> ZtfNetwork:
    features = np.asarray(dataset.arrays["features"][index], dtype=np.float64)
    torch.manual_seed(config.seed)
    steps = dataset.arrays["sequence"].shape[1]
    network = ZtfNetwork(Architecture(features.shape[1], config.size, config.width, steps=steps))
    network.metadata.fit(torch.from_numpy(features))
    return network


def central(dataset: Dataset, index: np.ndarray) -> torch.Tensor:
    edge = (dataset.arrays["stamps"].shape[-1] - SIZE) // 2
    stamps = dataset.arrays["stamps"][index][:, :, edge : edge + SIZE, edge : edge + SIZE]
    return torch.from_numpy(np.asarray(stamps, dtype=np.float32))


def train(network: ZtfNetwork, dataset: Dataset, parts: Parts, config: TrainingConfig) -> None:
    network.train().requires_grad_(True)
    fit(network, dataset, {"train": parts.train, "validation": parts.validation}, config, lambda _: None)
    network.eval().requires_grad_(False)


def percentiles(network: ZtfNetwork, dataset: Dataset, parts: Parts) -> np.ndarray:
    """Fit the scores to a trained network's latents, and return those of the tested alerts in the reference."""
    known = infer(network, dataset, parts.train)["latent"]
    labels = np.asarray(dataset.labels[parts.train])
    network.distance.fit(torch.from_numpy(known), torch.from_numpy(labels))
    suite = ScoreSuite.fit(known, labels)
    found = {name: infer(network, dataset, getattr(parts, name)) for name in ("reference", "test")}
    scores = {name: np.hstack([part["scores"], suite(part["latent"])]) for name, part in found.items()}
    # Without variable stars hardly an alert has a history: a score that the reference cannot rank counts as not had.
    there = np.isfinite(scores["reference"]).sum(axis=0) >= FEWEST
    reference = Reference.fit(
        scores["reference"][:, there], [name for name, here in zip(NAMES, there, strict=True) if here]
    )
    ranks = np.full(scores["test"].shape, np.nan)
    ranks[:, there] = reference.percentiles(scores["test"][:, there])
    return ranks


def measured(network: ZtfNetwork, geo: GeoTransform, dataset: Dataset, parts: Parts) -> Run:
    """Score the tested alerts by a trained network and by GeoTransform."""
    ranks = percentiles(network, dataset, parts)
    geo.calibrate(central(dataset, parts.train[::3][:120]))
    theirs = Reference.fit(geo.score(central(dataset, parts.reference))[:, None], ("geo",))
    their_ranks = theirs.percentiles(geo.score(central(dataset, parts.test))[:, None])[:, 0]
    return Run(parts.test, ranks, their_ranks)


def simulated_parts(dataset: Dataset, *left_out: int) -> Parts:
    """Parts by object; the alerts of the classes that are left out are all tested."""
    shares = np.array([*SIMULATED.values()], dtype=float)
    parts = dataset.split(dict(zip(SIMULATED, shares / shares.sum(), strict=True)), 0)
    labels = np.asarray(dataset.labels)
    odd = np.isin(labels, left_out)
    chosen = {name: part[~odd[part]][: SIMULATED[name]] for name, part in parts.items()}
    tested = np.concatenate([chosen["test"], np.flatnonzero(odd)[: SIMULATED["test"]]])
    return Parts(**{**chosen, "test": tested})


def real_parts(dataset: Dataset, folds: np.ndarray, fold: int, left_out: int) -> Parts:
    """Parts of an outer fold: one inner fold is the reference, a tenth of the rest stops the training."""
    labels = np.asarray(dataset.labels)
    inner = next(iter(inner_splits(folds, fold)))
    inliers = inner.train[labels[inner.train] != left_out]
    stops = outer_folds([f"stop {name}" for name in dataset.objects[inliers]], labels[inliers]) == 0
    reference = inner.test[labels[inner.test] != left_out]
    return Parts(inliers[~stops], inliers[stops], reference, np.flatnonzero(folds == fold))


class Bench:
    """All runs: per class that is left out a simulated one, and one per fold of the real alerts."""

    def __init__(self, work: Path, simulated: Dataset, real: Dataset) -> None:
        self.work, self.simulated, self.real = work, simulated, real
        self.folds = outer_folds(real.objects, np.asarray(real.labels))

    def path(self, name: str, part: object) -> Path:
        return self.work / f"{name}_{part}.npz"

    def complete(self) -> list[int]:
        """Folds of the real alerts that every class has been left out of."""
        return [fold for fold in range(OUTER) if all(self.path(name, fold).exists() for name in CLASSES)]

    def pretrain(self, name: str) -> tuple[ZtfNetwork, GeoTransform]:
        """Return what simulated alerts alone taught both detectors; train and measure it where that is not done."""
        number, weights = CLASSES.index(name), self.work / f"{name}.safetensors"
        parts = simulated_parts(self.simulated, number)
        network, geo = new_network(self.simulated, parts.train, PRETRAIN), GeoTransform(0)
        if not weights.exists():
            train(network, self.simulated, parts, PRETRAIN)
            geo.train(central(self.simulated, parts.train), GEO_STEPS["simulated"])
            both = {f"ours.{key}": value for key, value in network.state_dict().items()}
            both |= {f"geo.{key}": value for key, value in geo.network.state_dict().items()}
            save_file({key: value.clone() for key, value in both.items()}, weights)
            np.savez(self.path(name, "simulated"), **measured(network, geo, self.simulated, parts)._asdict())
            print("simulated without", name, flush=True)
        state = load_file(weights)
        for module, prefix in ((network, "ours."), (geo.network, "geo.")):
            module.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        return network, geo

    def finetune(self, name: str, fold: int) -> None:
        if self.path(name, fold).exists():
            return
        network, geo = self.pretrain(name)
        parts = real_parts(self.real, self.folds, fold, CLASSES.index(name))
        train(network, self.real, parts, FINETUNE)
        geo.train(central(self.real, parts.train), GEO_STEPS["real"])
        np.savez(self.path(name, fold), **measured(network, geo, self.real, parts)._asdict())
        print("real without", name, "fold", fold, flush=True)


def opened(path: Path) -> Run:
    with np.load(path) as found:
        return Run(*(found[name] for name in Run._fields))


def joined(runs: Sequence[Run]) -> Run:
    return Run(*(np.concatenate(column) for column in zip(*runs, strict=True)))


def combined(ranks: np.ndarray, chosen: tuple[int, ...]) -> np.ndarray:
    """Mean percentile over the chosen scores that an alert has; 0.5 where it has none of them."""
    part = ranks[:, list(chosen)]
    there = np.isfinite(part)
    return np.where(there.any(1), np.where(there, part, 0).sum(1) / np.maximum(there.sum(1), 1), 0.5)


def choice(found: Mapping[str, Run], labels: np.ndarray, but: str, allowed: np.ndarray) -> tuple[int, ...]:
    """Scores whose combination finds the OTHER classes best, on allowed alerts, none of the class ``but``."""
    subsets = [s for size in range(1, len(NAMES) + 1) for s in combinations(range(len(NAMES)), size)]
    totals = np.zeros(len(subsets))
    for name, run in found.items():
        usable = allowed[run.index] & (labels[run.index] != CLASSES.index(but))
        odd = labels[run.index][usable] == CLASSES.index(name)
        if name != but:
            totals += [auroc(odd, combined(run.ranks[usable], subset)) for subset in subsets]
    return subsets[int(np.argmax(totals))]


class Table:
    """AUROC of every score, the combination and GeoTransform, class by class, with paired differences."""

    def __init__(self, title: str, dataset: Dataset, found: Mapping[str, Run], folds: np.ndarray) -> None:
        self.title, self.dataset, self.found = title, dataset, found
        self.labels, self.folds = np.asarray(dataset.labels), folds
        self.rows: dict[str, list[float]] = {}

    def scores(self, name: str) -> dict[str, np.ndarray]:
        run = self.found[name]
        columns = {score: combined(run.ranks, (k,)) for k, score in enumerate(NAMES)}
        every = combined(run.ranks, tuple(range(len(NAMES))))
        best, choices = np.zeros(len(run.index)), Counter()
        for fold in np.unique(self.folds[run.index]):
            here = self.folds[run.index] == fold
            chosen = choice(self.found, self.labels, name, self.folds != fold)
            best[here] = combined(run.ranks[here], chosen)
            choices[" + ".join(NAMES[k] for k in chosen)] += 1
        print(f"combination without {name}:", "; ".join(f"{what} ({n}x)" for what, n in choices.most_common()))
        magnitude, _, history = self.beside(run.index)
        columns |= {"control: faintness": magnitude, "control: short history": -history}
        return {**columns, "mean of all": every, "combination": best, "GeoTransform": run.geo}

    def show(self) -> None:
        print(f"\n## {self.title}")
        tables = {name: self.scores(name) for name in CLASSES}
        print("| score | " + " | ".join(CLASSES) + " | mean |\n|" + "---|" * (len(CLASSES) + 2))
        for score in tables[CLASSES[0]]:
            values = [auroc(self.odd(name), tables[name][score]) for name in CLASSES]
            print(f"| {score} | " + " | ".join(f"{v:.3f}" for v in values) + f" | {np.mean(values):.3f} |")
            self.rows[score] = values
        singles = {score: np.mean(self.rows[score]) for score in NAMES}
        strongest = max(singles, key=lambda score: singles[score])
        for one, other in (("combination", "GeoTransform"), (strongest, "GeoTransform"), ("combination", strongest)):
            print(f"{one} - {other}, mean over classes: {self.difference(tables, one, other)}")
        self.correlations()

    def odd(self, name: str) -> np.ndarray:
        return self.labels[self.found[name].index] == CLASSES.index(name)

    def difference(self, tables: Mapping[str, Mapping[str, np.ndarray]], one: str, other: str) -> str:
        """Difference of the mean AUROC, its interval from drawing objects of all classes at once."""
        index = np.unique(np.concatenate([run.index for run in self.found.values()]))
        boot = Bootstrap(self.dataset.objects[index], resamples=500)
        place = {name: np.searchsorted(index, run.index) for name, run in self.found.items()}

        def mean(weights: np.ndarray | None, score: str) -> float:
            return float(np.mean([
                auroc(self.odd(n), tables[n][score], None if weights is None else weights[place[n]]) for n in CLASSES
            ]))  # fmt: skip

        drawn = [mean(w, one) - mean(w, other) for w in boot.weights]
        low, high = np.nanquantile(drawn, [0.025, 0.975])
        return f"{mean(None, one) - mean(None, other):+.3f} [{low:+.3f}, {high:+.3f}]"

    def beside(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Magnitude, masked part of the stamps and length of the history of some alerts."""
        arrays = self.dataset.arrays
        return (
            np.asarray(arrays["features"][index], dtype=float)[:, FEATURE_NAMES.index("magpsf")],
            1 - np.asarray(arrays["masks"][index], dtype=bool).mean(axis=(1, 2, 3)),
            np.asarray(arrays["sequence_mask"][index], dtype=float).sum(axis=1),
        )

    def correlations(self) -> None:
        """Spearman's correlation of each score with what an anomaly score must not merely read, over inliers."""
        print("| Spearman's rho over inliers | magnitude | mask fraction | history length |\n|---|---|---|---|")
        index = np.concatenate([run.index[~self.odd(name)] for name, run in self.found.items()])
        ranks = np.concatenate([run.ranks[~self.odd(name)] for name, run in self.found.items()])
        beside = self.beside(index)
        for k, name in enumerate(NAMES):
            there = np.isfinite(ranks[:, k])
            values = [spearmanr(ranks[there, k], column[there]).statistic for column in beside]
            print(f"| {name} | " + " | ".join(f"{value:+.2f}" for value in values) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[1].parent / "shared" / "data")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is computed")
    parser.add_argument("--seed", type=int, default=20263, help="of the simulated alerts")
    parser.add_argument("--classes", nargs="+", choices=CLASSES, default=CLASSES, help="run only these; default: all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    simulated = kept(arguments.work / "simulated", lambda: simulated_alerts(3400, arguments.seed))
    real = kept(arguments.work / "real", lambda: real_alerts(arguments.data))
    bench = Bench(arguments.work, simulated, real)
    for name in arguments.classes:
        bench.pretrain(name)
    for fold in range(OUTER):
        for name in arguments.classes:
            bench.finetune(name, fold)
    if not bench.complete():
        print("no fold is done for all classes yet: run the others too")
        return
    print(PUBLISHED)
    found = {name: opened(bench.path(name, "simulated")) for name in CLASSES}
    halves = outer_folds(simulated.objects, np.asarray(simulated.labels)) % 2
    Table("Simulated alerts", simulated, found, halves).show()
    pooled = {name: joined([opened(bench.path(name, fold)) for fold in bench.complete()]) for name in CLASSES}
    Table(f"Real alerts, folds {bench.complete()}", real, pooled, bench.folds).show()


if __name__ == "__main__":
    main()
