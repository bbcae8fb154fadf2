"""A better model from the one that is live and new labelled alerts, and the proof that it is better.

Objects are divided by the hash of their names with the seed on the live model's card, so that the
same ones are held out in every generation: what this comparison is made on, neither model has seen.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from fulgor.errors import ModelError
from fulgor.models.card import used_objects
from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.evaluation.bootstrap import Bootstrap, Interval
from fulgor.models.evaluation.metrics import balanced_accuracy, summary
from fulgor.models.evaluation.rulers import MetadataBaseline
from fulgor.models.fitting import Index, TrainingConfig, class_balance, fit, infer
from fulgor.models.layout import SCORES
from fulgor.models.passes import Epoch
from fulgor.models.reference import Reference
from fulgor.models.training import PARTS, TrainedModel, best_temperature, measure
from fulgor.models.ztf import ZtfNetwork

__all__ = ["RATE", "HeldOut", "compare", "divide", "retrain"]

RATE = 1e-3
"""Peak learning rate: a third of that of a first training, since the weights are good already."""

FEWEST = 20
"""Labelled held-out alerts below which a comparison would say nothing."""


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


def divide(dataset: Dataset, card: Mapping[str, Any]) -> dict[str, Index]:
    """Divide alerts into the parts of a training, by object and as the model of this card did.

    Parameters
    ----------
    dataset : Dataset
        Prepared alerts.
    card : mapping
        Of the model to start from: its ``split`` says the seed; objects that its ``data.used`` lists (a model
        of listed alerts) are moved to the training part.

    Returns
    -------
    dict of str to ndarray
        Indices of ``train``, ``validation``, ``reference`` and ``test``.

    Raises
    ------
    ModelError
        The card does not say how its objects were divided, or too few alerts are left to compare on.
    """
    split, used = card.get("split", {}), used_objects(card)
    if split.get("by") != "object" or not isinstance(split.get("seed"), int):
        raise ModelError(
            f"the card of model {card.get('name')!r} does not say how its objects were divided: train anew"
        )
    parts = dataset.split(PARTS, split["seed"])
    seen = np.isin(dataset.objects, sorted(used))
    fresh = {name: index[~seen[index]] for name, index in parts.items()}
    fresh["train"] = np.sort(np.concatenate([fresh["train"], np.flatnonzero(seen)]))
    for name, index in fresh.items():
        count = int((dataset.labels[index] != UNLABELLED).sum())
        if count < (FEWEST if name in {"test", "reference"} else 1):
            raise ModelError(
                f"{count} labelled alerts of objects that model {card.get('name')!r} has not seen are left for"
                f" {name!r}, which needs {FEWEST}: take more or newer alerts"
            )
    return fresh


def retrain(
    dataset: Dataset, base: ZtfNetwork, card: Mapping[str, Any], config: TrainingConfig,
    progress: Callable[[Epoch], None] | None = None,
) -> tuple[TrainedModel, HeldOut]:  # fmt: skip
    """Tune all weights of a model on labelled alerts, and compare both on held-out ones.

    Parameters
    ----------
    dataset : Dataset
        Prepared alerts, of the classes of the base.
    base : ZtfNetwork
        Where it starts; not changed.
    card : mapping
        Of the base.
    config : TrainingConfig
        Schedule; sizes and the seed of the split are the base's.
    progress : callable, optional
        Called after every pass.

    Raises
    ------
    ModelError
        See :func:`divide`; or the training diverged.
    """
    parts = divide(dataset, card)
    own = replace(config, size=base.architecture.size, width=base.architecture.width, seed=card["split"]["seed"])
    torch.manual_seed(own.seed)
    network = copy.deepcopy(base).requires_grad_(True)
    history = fit(network, dataset, parts, own, progress or (lambda _: None))
    network.eval().requires_grad_(False)
    _calibrate(network, dataset, parts)
    reference = Reference.fit(infer(network, dataset, parts["reference"])["scores"], SCORES)
    baseline = MetadataBaseline(dataset, parts["train"])
    counts = {name: dataset.counts(index) for name, index in parts.items()}
    split = {"by": "object", "seed": own.seed, "parts": counts}
    model = TrainedModel(network, baseline, reference, {}, split, {**asdict(own), **history})
    held_out = compare(dataset, parts["test"], base, network)
    metrics = {**measure(model, dataset, parts["test"]), "against_live": asdict(held_out)}
    return replace(model, metrics=metrics), held_out


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


def _calibrate(network: ZtfNetwork, dataset: Dataset, parts: dict[str, Index]) -> None:
    """Set the class centres on the training part and the temperature on the validation part."""
    latents = torch.from_numpy(infer(network, dataset, parts["train"])["latent"])
    network.distance.fit(latents, torch.from_numpy(np.asarray(dataset.labels[parts["train"]])))
    known = parts["validation"][dataset.labels[parts["validation"]] != UNLABELLED]
    logits = network.classifier(torch.from_numpy(infer(network, dataset, known)["latent"]))
    labels = torch.from_numpy(np.asarray(dataset.labels[known]))
    network.temperature.fill_(best_temperature(logits, labels, class_balance(dataset, known)))
