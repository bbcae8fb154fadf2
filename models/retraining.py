"""A better model from the one that is live and new labelled alerts, and the proof that it is better.

What the comparison is made on, neither model has seen: see :mod:`fulgor.models.division`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.division import Division
from fulgor.models.evaluation.bootstrap import Bootstrap, Interval
from fulgor.models.evaluation.metrics import balanced_accuracy, summary
from fulgor.models.finetuning import LOOKING_BACK, remembering
from fulgor.models.fitting import Index, TrainingConfig, fit, infer
from fulgor.models.passes import Epoch
from fulgor.models.training import TrainedModel, finished
from fulgor.models.ztf import ZtfNetwork

__all__ = ["RATE", "HeldOut", "compare", "retrain"]

RATE = 1e-3
"""Peak learning rate: a third of that of a first training, since the weights are good already."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Two models on the same alerts, which neither has seen.

    Parameters
    ----------
    alerts, objects : int
        Labelled ones.
    live, candidate : Interval
        Balanced accuracy, with its 95 % interval by bootstrap over objects.
    gain : Interval
        The paired difference; it counts when the interval lies above 0.
    recall : dict of str to (float, float)
        Of each class that occurs: the live model's and the candidate's.
    """

    alerts: int
    objects: int
    live: Interval
    candidate: Interval
    gain: Interval
    recall: dict[str, tuple[float, float]]


def retrain(
    dataset: Dataset, division: Division, base: ZtfNetwork, config: TrainingConfig,
    progress: Callable[[Epoch], None] | None = None,
) -> tuple[TrainedModel, HeldOut]:  # fmt: skip
    """Tune all weights of a model on labelled alerts, and compare both on held-out ones.

    A model of stored history then learns to look back anew: its encoder has changed, and with it what is stored.

    Parameters
    ----------
    dataset : Dataset
        Prepared alerts, of the classes of the base.
    division : Division
        What is trained on and what is compared on.
    base : ZtfNetwork
        Where it starts; not changed.
    config : TrainingConfig
        Schedule; sizes and the seed of the split are the base's.
    progress : callable, optional
        Called after every pass.

    Raises
    ------
    ModelError
        The training diverged, or the base takes stored history and these alerts have none to learn from.
    """
    parts = division.parts
    own = replace(config, size=base.architecture.size, width=base.architecture.width, seed=division.seed)
    torch.manual_seed(own.seed)
    network = copy.deepcopy(base).requires_grad_(True)
    course = fit(network, dataset, parts, own, progress or (lambda _: None))
    network.eval().requires_grad_(False)
    if base.architecture.history_stamps:
        look_back = replace(LOOKING_BACK, seed=own.seed)
        network = remembering(network, dataset, parts["train"], look_back)
        course["history"] = asdict(look_back)
    model = finished(network, dataset, parts, division.entry(dataset), {**asdict(own), **course})
    held_out = compare(dataset, parts["test"], base, network)
    return replace(model, metrics={**model.metrics, "against_live": asdict(held_out)}), held_out


def compare(dataset: Dataset, index: Index, live: ZtfNetwork, candidate: ZtfNetwork) -> HeldOut:
    """Measure two networks on the labelled ones of some alerts, paired by object."""
    known = index[dataset.labels[index] != UNLABELLED]
    labels, objects = dataset.labels[known], dataset.objects[known]
    theirs, ours = (infer(network, dataset, known)["probabilities"] for network in (live, candidate))
    resamples = Bootstrap(objects)
    recalls = [summary(labels, found, dataset.classes)["recall"] for found in (theirs, ours)]
    return HeldOut(
        alerts=len(known),
        objects=len(np.unique(objects)),
        live=resamples.interval(balanced_accuracy, labels, theirs),
        candidate=resamples.interval(balanced_accuracy, labels, ours),
        gain=resamples.difference(balanced_accuracy, labels, ours, theirs),
        recall={name: (recalls[0][name], recalls[1][name]) for name in recalls[0]},
    )
