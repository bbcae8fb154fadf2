"""What 8-bit integers cost the shipped ZTF models on real alerts, paired with the models in float32.

    python benchmarks/int8.py --data ALERTS --unlabelled UNLABELLED --rehearse simulated --work int8

``ztf`` has seen every label, so it is tuned anew for each of the frozen folds, as in ``fulgor evaluate --tuned-from``,
and each of these models is written, made a twin of and asked about the alerts of its fold. ``ztf-sim`` has seen no
real label and is measured as it ships. Ranges come from unlabelled alerts. A second call makes nothing again that the
work folder holds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from invariance import spacing

from fulgor.cli.train_ztf import read
from fulgor.cli.tune_ztf import Tuning, read_alerts, tuning
from fulgor.consumer.settings import load_settings
from fulgor.models.card import read_card
from fulgor.models.dataset import Dataset
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import OUTER, Index, outer_folds, splits
from fulgor.models.evaluation.metrics import accuracy, balanced_accuracy, calibration_error
from fulgor.models.evaluation.result import Evaluation, paired
from fulgor.models.evaluation.rulers import MetadataBaseline
from fulgor.models.evaluation.served import FixedModel
from fulgor.models.evaluation.validation import cross_validate, predict
from fulgor.models.export import save
from fulgor.models.fitting import infer
from fulgor.models.layout import CLASSES, SCORES
from fulgor.models.lookback import predict as results
from fulgor.models.quantize import quantize
from fulgor.models.reference import Reference
from fulgor.models.serving import SHIPPED, LoadedModel, load
from fulgor.models.training import TrainedModel
from fulgor.streams.registry import instrument


def twin(source: Path, folder: Path, unlabelled: Dataset) -> LoadedModel:
    """Return the 8-bit twin of a model, from its folder; write it where it is not there."""
    if not (folder / "card.json").exists():
        quantize(source, folder, unlabelled, name=f"{source.name}-int8", data="unlabelled alerts")
    return load(folder, "cpu")


class Written:
    """The tuning as a method; the model of each fold is written to a folder, and served from it."""

    name = "`ztf`, in the folds"

    def __init__(self, make: Callable[[], Tuning], preparation: str, work: Path) -> None:
        self._make, self._preparation, self._work = make, preparation, work

    @cached_property
    def _tuning(self) -> Tuning:
        return self._make()

    def folder(self, alerts: AlertSet, train: Index) -> Path:
        """Return the folder of the model that these alerts are for."""
        folds = outer_folds(alerts.objects, alerts.labels)
        return self._work / f"fold_{min(set(range(OUTER)) - set(folds[train].tolist()))}"

    def fit(self, alerts: AlertSet, train: Index) -> FixedModel:
        folder = self.folder(alerts, train)
        if not (folder / "card.json").exists():
            method, held = self._tuning.method, self._tuning.reference
            network = method.fitted(alerts.dataset, train)
            scores = infer(network, held, np.arange(len(held)))["scores"]
            ruler, reference = MetadataBaseline(alerts.dataset, train), Reference.fit(scores, SCORES)
            split = {"parts": {"train": alerts.dataset.counts(train)}}
            model = TrainedModel(network, ruler, reference, {}, split, {"seed": method.config.seed})
            save(model, folder, name=folder.name, preprocessing_hash=self._preparation, data={})
        return FixedModel(load(folder, "cpu"))


class Twins:
    """The same in 8-bit integers."""

    name = "its twins in int8"

    def __init__(self, written: Written, unlabelled: Dataset) -> None:
        self._written, self._unlabelled = written, unlabelled

    def fit(self, alerts: AlertSet, train: Index) -> FixedModel:
        source = self._written.folder(alerts, train)
        return FixedModel(twin(source, source.with_name(f"{source.name}-int8"), self._unlabelled))


def show(before: Evaluation, after: Evaluation) -> None:
    """Print the figures of a model and of its twin."""
    for one in (before, after):
        calibration = calibration_error(one.labels, one.probabilities)
        print(f"| {one.name} | {one.figure(balanced_accuracy)} | {one.figure(accuracy)} | {calibration:.3f} |")
    differences = (paired(figure, after, before) for figure in (balanced_accuracy, accuracy))
    told = " | ".join(f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]" for one in differences)
    same = int((before.predicted == after.part(before.ids).predicted).sum())
    print(f"| difference, paired | {told} | the same class for {same} of {len(before)} |")


def moved(before: LoadedModel, after: LoadedModel, dataset: Dataset) -> str:
    """Return by how much the latents differ, as the median in units of the median distance between alerts."""
    everything = np.arange(len(dataset))
    one, other = (results(model, dataset, everything) for model in (before, after))
    shares = (
        float(np.median(np.linalg.norm(other[key] - one[key], axis=1)) / spacing(one[key]))
        for key in ("latent", "stamp_latent")
    )
    return "z_object {:.3f}, z_stamp {:.3f}".format(*shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "unlabelled", "rehearse", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="where prepared alerts are kept")
    given = parser.parse_args()
    torch.set_num_threads(1)
    alerts = read_alerts([given.data], None)
    ztf = instrument("ztf", load_settings({}))
    unlabelled = read(ztf, given.cache, given.unlabelled).dataset({}, CLASSES)
    objects = set(alerts.objects.tolist())
    make = partial(
        tuning, SHIPPED / "ztf-sim", [given.unlabelled], given.rehearse, objects, seed=0, cache=given.cache
    )  # fmt: skip
    written = Written(make, ztf.preprocessing_hash, given.work)
    folds = outer_folds(alerts.objects, alerts.labels)
    pair = [cross_validate(one, alerts, splits(folds))[""] for one in (written, Twins(written, unlabelled))]
    print("| | balanced accuracy | accuracy | ECE |\n|---|---|---|---|")
    show(*pair)
    for name in ("ztf-sim", "ztf"):
        before, after = load(SHIPPED / name, "cpu"), twin(SHIPPED / name, given.work / f"{name}-int8", unlabelled)
        fixed = {f"`{name}`": FixedModel(before), "its twin in int8": FixedModel(after)}
        if len(index := fixed[f"`{name}`"].unseen(alerts)):
            show(*(predict(label, one, alerts, index) for label, one in fixed.items()))
        hashes = f"{name} {read_card(SHIPPED / name)['model_hash']}, twin {after.model_hash}"
        print(f"{hashes}: latents of {len(alerts.dataset)} alerts move by {moved(before, after, alerts.dataset)}")


if __name__ == "__main__":
    main()
