"""Training: from a data set to a network, its calibration, its reference and its figures.

Objects, not alerts, are divided into four parts: ``train`` fits the weights, ``validation`` stops the
training and sets the temperature, ``reference`` gives the scores their percentiles, ``test`` is only
measured. One seed fixes the split, the weights and every random draw.

A model of stored history is trained in two phases: as any other, then, with the encoder as it is, everything behind
it anew. The stamp latents of earlier alerts can so be computed once, and are what the database will hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fulgor.errors import ModelError
from fulgor.models.batches import Index
from fulgor.models.calibration import best_temperature, class_balance
from fulgor.models.checkpoint import Checkpoint
from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.distributed import ALONE, Ranks
from fulgor.models.evaluation import summary
from fulgor.models.evaluation.rulers import MetadataBaseline
from fulgor.models.finetuning import TuningConfig, remembering
from fulgor.models.fitting import TrainingConfig, fit, infer
from fulgor.models.layout import SCORES
from fulgor.models.passes import Epoch
from fulgor.models.reference import Reference
from fulgor.models.ztf import Architecture, ZtfNetwork

__all__ = ["PARTS", "TrainedModel", "finished", "measure", "new_network", "train"]

PARTS = {"train": 0.6, "validation": 0.1, "reference": 0.15, "test": 0.15}
"""Fractions of the objects."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A network with all that its card will say of it.

    Parameters
    ----------
    network : ZtfNetwork
        With statistics, temperature and class centres in its buffers.
    baseline : MetadataBaseline
        What the metadata alone can do, trained on the same alerts.
    reference : Reference
        Quantiles of the scores over held-out alerts.
    metrics : dict
        Figures on the ``test`` part, and under ``metadata_only`` those of a network without stamps.
    split : dict
        How the alerts were divided.
    training : dict
        Configuration, epochs run, best validation loss.
    """

    network: ZtfNetwork
    baseline: MetadataBaseline
    reference: Reference
    metrics: dict[str, Any]
    split: dict[str, Any]
    training: dict[str, Any]


def train(
    dataset: Dataset,
    config: TrainingConfig | None = None,
    progress: Callable[[Epoch], None] | None = None,
    *,
    folder: Path | None = None,
    preparation: str = "",
    device: str = "cpu",
    history: TuningConfig | None = None,
    ranks: Ranks = ALONE,
) -> TrainedModel:
    """Train a ZTF model.

    Parameters
    ----------
    dataset : Dataset
        Prepared alerts.
    config : TrainingConfig, optional
        Sizes and schedule.
    progress : callable, optional
        Called after every pass.
    folder : Path, optional
        Where checkpoint and curves are kept; a training that was interrupted there goes on.
    preparation : str
        Content hash of the preparation, which a checkpoint must share.
    device : str
        ``cpu`` or ``cuda``; on the latter most of the arithmetic is done in bfloat16.
    history : TuningConfig, optional
        Makes a model of stored history: once the encoder is trained, all behind it is trained again in this way, with
        the stamp latents of earlier alerts (:func:`fulgor.models.finetuning.remembering`).
    ranks : Ranks
        The processes that train the weights together; what follows is short, and each does it for itself.

    Returns
    -------
    TrainedModel
        The weights of the pass with the least validation loss, on the CPU.

    Raises
    ------
    ModelError
        A part of the split is empty or too small for what is fitted to it, the folder holds the
        checkpoint of another training, or there is no history to learn from.
    """
    config = config or TrainingConfig()
    parts = _parts(dataset, config.seed)
    torch.manual_seed(config.seed)
    network = new_network(dataset, parts["train"], config).to(device)
    identity = {**asdict(config), "preparation": preparation, "data": dataset.fingerprint()}
    checkpoint = Checkpoint(folder, identity, ranks) if folder else None
    course = fit(network, dataset, parts, config, progress or (lambda _: None), checkpoint, ranks)
    network.cpu().eval().requires_grad_(False)
    if history is not None:
        network = remembering(network, dataset, parts["train"], history)
        course["history"] = asdict(history)
    split = {
        "by": "object",
        "seed": config.seed,
        "parts": {name: dataset.counts(index) for name, index in parts.items()},
    }
    return finished(network, dataset, parts, split, {**asdict(config), **course})


def finished(
    network: ZtfNetwork, dataset: Dataset, parts: dict[str, Index], split: dict[str, Any], training: dict[str, Any]
) -> TrainedModel:
    """Return a network whose weights are trained as a model: calibrated, with its reference, and measured.

    Parameters
    ----------
    network : ZtfNetwork
        On the CPU; its class centres and its temperature are set in place.
    dataset : Dataset
        Prepared alerts.
    parts : dict of str to ndarray
        ``train``, ``validation``, ``reference`` and ``test``.
    split, training : dict
        What the card says of the division and of the training.

    Raises
    ------
    ModelError
        No alert of the validation part is labelled.
    """
    _calibrate(network, dataset, parts)
    reference = Reference.fit(infer(network, dataset, parts["reference"])["scores"], SCORES)
    model = TrainedModel(network, MetadataBaseline(dataset, parts["train"]), reference, {}, split, training)
    return replace(model, metrics=measure(model, dataset, parts["test"]))


def measure(model: TrainedModel, dataset: Dataset, index: Index) -> dict[str, Any]:
    """Return the figures of a model on some alerts, and those of its metadata-only baseline beside them."""
    found = infer(model.network, dataset, index)
    figures = summary(dataset.labels[index], found["probabilities"], dataset.classes)
    return {**figures, "metadata_only": model.baseline.measure(dataset, index)}


def new_network(dataset: Dataset, index: Index, config: TrainingConfig) -> ZtfNetwork:
    """Return a new network that knows the quantiles of the training features."""
    sequence, features = dataset.arrays["sequence"], dataset.arrays["features"][index]
    architecture = Architecture(
        features=features.shape[1],
        size=config.size,
        width=config.width,
        steps=sequence.shape[1],
        classes=dataset.classes,
        ignored=config.ignored,
        images=config.images,
        sees=config.sees,
        coarse=config.coarse,
        cell=config.cell,
    )
    network = ZtfNetwork(architecture)
    network.metadata.fit(torch.from_numpy(np.asarray(features)))
    return network


def _parts(dataset: Dataset, seed: int) -> dict[str, Index]:
    """Return the division of the objects; raise a ModelError where nothing is left for a part."""
    parts = dataset.split(PARTS, seed)
    if empty := [name for name, index in parts.items() if not len(index)]:
        raise ModelError(f"{len(dataset)} alerts leave nothing for {', '.join(empty)}; take a larger archive")
    return parts


def _calibrate(network: ZtfNetwork, dataset: Dataset, parts: dict[str, Index]) -> None:
    """Set the class centres on the training part and the temperature on the validation part."""
    latents = torch.from_numpy(infer(network, dataset, parts["train"])["latent"])
    network.distance.fit(latents, torch.from_numpy(np.asarray(dataset.labels[parts["train"]])))
    index = parts["validation"]
    known = index[dataset.labels[index] != UNLABELLED]
    if not len(known):
        raise ModelError("no labelled alert to calibrate the probabilities on; take a larger archive")
    logits = network.classifier(torch.from_numpy(infer(network, dataset, known)["latent"]))
    labels = torch.from_numpy(np.asarray(dataset.labels[known]))
    network.temperature.fill_(best_temperature(logits, labels, class_balance(dataset, known)))
