"""The passes over the training alerts: batches, schedule, early stopping."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fulgor.errors import ModelError
from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.layout import OUTPUTS
from fulgor.models.objective import Batch, Corruption, Weights, corrupt, objective
from fulgor.models.ztf import ZtfNetwork

__all__ = ["Epoch", "Index", "TrainingConfig", "class_balance", "fit", "infer", "rate_at"]

HARD_FROM = 0.6
"""Part of the training after which the soft minimum over orientations is the plain one."""

SOFTEST = 0.3
"""Softness at the start."""

WARM_UP = 0.05
"""Part of the training over which the rate rises to its peak, before its cosine descent."""

CLIP = 5.0
"""Largest norm of a gradient."""

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Everything a training depends on beside its data.

    Parameters
    ----------
    size, width : int
        Stamp size inside the network, and fields of its first layer.
    epochs, patience : int
        At most this many passes; stop after so many without a better validation loss.
    batch : int
        Alerts per step.
    rate, decay : float
        Peak learning rate and weight decay of AdamW.
    seed : int
        Of split, weights and draws.
    corruption : Corruption
        Damage done to the input.
    weights : Weights
        Parts of the objective.
    """

    size: int = 31
    width: int = 4
    epochs: int = 30
    patience: int = 8
    batch: int = 64
    rate: float = 3e-3
    decay: float = 1e-4
    seed: int = 0
    corruption: Corruption = field(default_factory=Corruption)
    weights: Weights = field(default_factory=Weights)


@dataclass(frozen=True, slots=True)
class Epoch:
    """Progress after one pass: ``number`` of ``epochs``, both losses, and whether it is the best so far."""

    number: int
    epochs: int
    loss: float
    validation: float
    best: bool


def _batches(dataset: Dataset, index: Index, size: int) -> Iterator[Batch]:
    for start in range(0, len(index), size):
        chosen = index[start : start + size]
        arrays = dataset.take(chosen)
        labels = torch.from_numpy(np.asarray(dataset.labels[chosen]))
        inputs = {name: torch.from_numpy(array) for name, array in arrays.items()}
        yield Batch(**inputs, labels=labels)


def class_balance(dataset: Dataset, index: Index) -> Tensor:
    """Return class weights that make the prior uniform over the classes that occur."""
    labels = dataset.labels[index]
    counts = np.bincount(labels[labels != UNLABELLED], minlength=len(dataset.classes))
    weights = np.where(counts > 0, 1.0 / np.maximum(counts, 1), 0.0)
    return torch.from_numpy(weights / max(weights.sum(), 1e-12) * len(weights)).float()


def rate_at(progress: float) -> float:
    """Return the part of the peak rate at a point of the training, 0 to 1."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1.0 + math.cos(math.pi * (progress - WARM_UP) / (1.0 - WARM_UP)))


def fit(
    network: ZtfNetwork,
    dataset: Dataset,
    parts: dict[str, Index],
    config: TrainingConfig,
    progress: Callable[[Epoch], None],
) -> dict[str, Any]:
    """Run the passes, and leave the best weights in the network.

    Parameters
    ----------
    network : ZtfNetwork
        Changed in place.
    dataset : Dataset
        Prepared alerts.
    parts : dict of str to ndarray
        Of them, ``train`` and ``validation``.
    config : TrainingConfig
        Schedule.
    progress : callable
        Called after every pass.

    Returns
    -------
    dict
        ``epochs_run``, ``best_epoch`` and ``validation_loss``.

    Raises
    ------
    ModelError
        No pass had a finite validation loss.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=config.decay)
    balance = class_balance(dataset, parts["train"])
    order = np.random.default_rng(config.seed)
    best, best_loss, best_epoch, losses = copy.deepcopy(network.state_dict()), math.inf, 0, []
    for number in range(1, config.epochs + 1):
        random = torch.Generator().manual_seed(config.seed * 100_003 + number)
        softness = SOFTEST * max(0.0, 1.0 - (number - 1) / (HARD_FROM * config.epochs))
        shuffled = order.permutation(parts["train"])
        loss, steps = 0.0, math.ceil(len(shuffled) / config.batch)
        for step, batch in enumerate(_batches(dataset, shuffled, config.batch)):
            rate = config.rate * rate_at((number - 1 + step / steps) / config.epochs)
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss += _step(network, optimiser, batch, balance, config, softness, random) / steps
        validation = _validate(network, dataset, parts["validation"], balance, config)
        losses.append((loss, validation))
        if better := validation < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(network.state_dict()), validation, number
        progress(Epoch(number, config.epochs, loss, validation, better))
        if number - best_epoch >= config.patience:
            break
    if not math.isfinite(best_loss):
        raise ModelError("the training diverged: no pass had a finite validation loss; lower the rate, check the data")
    network.load_state_dict(best)
    return {"epochs_run": len(losses), "best_epoch": best_epoch, "validation_loss": best_loss}


def _step(
    network: ZtfNetwork,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    balance: Tensor,
    config: TrainingConfig,
    softness: float,
    random: torch.Generator,
) -> float:
    """Take one step and return its loss."""
    damaged, hidden = corrupt(batch, network.feature_mean, config.corruption, random)
    loss = objective(network, batch, damaged, hidden, balance, config.weights, softness)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
    optimiser.step()
    return float(loss.detach())


@torch.no_grad()
def _validate(network: ZtfNetwork, dataset: Dataset, index: Index, balance: Tensor, config: TrainingConfig) -> float:
    """Return the mean validation loss, with the same damage after every pass."""
    random = torch.Generator().manual_seed(config.seed)
    total = 0.0
    for batch in _batches(dataset, index, 4 * config.batch):
        damaged, hidden = corrupt(batch, network.feature_mean, config.corruption, random)
        loss = objective(network, batch, damaged, hidden, balance, config.weights, 0.0)
        total += float(loss) * len(batch.labels)
    return total / len(index)


@torch.no_grad()
def infer(network: ZtfNetwork, dataset: Dataset, index: Index, size: int = 256) -> dict[str, NDArray[np.float32]]:
    """Return the network's outputs for some alerts, by the names in :data:`fulgor.models.layout.OUTPUTS`."""
    rows = [[part.numpy() for part in network(*batch[:5])] for batch in _batches(dataset, index, size)]
    return {name: np.concatenate(column) for name, column in zip(OUTPUTS, zip(*rows, strict=True), strict=True)}
