"""The fit to the training alerts: what one pass over them does, and with which loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fulgor.models.augmentation import Augmentation, corrupt, turn
from fulgor.models.batches import Batch, Index, batch_of, batches
from fulgor.models.calibration import class_balance
from fulgor.models.checkpoint import Checkpoint
from fulgor.models.dataset import Dataset
from fulgor.models.distributed import ALONE, Ranks
from fulgor.models.images import STAMPS
from fulgor.models.layout import OUTPUTS
from fulgor.models.objective import Weights, objective
from fulgor.models.passes import Epoch, descend, rate_at, run_passes
from fulgor.models.stamphistory import StampHistory
from fulgor.models.ztf import SIGHTS, ZtfNetwork

__all__ = ["Index", "TrainingConfig", "fit", "infer"]

HARD_FROM = 0.6
"""Part of the training after which the soft minimum over orientations is the plain one."""

SOFTEST = 0.3
"""Softness at the start."""


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
        Alerts per step, of each process where several train together.
    rate, decay : float
        Peak learning rate and weight decay of AdamW.
    seed : int
        Of split, weights and draws.
    augmentation : Augmentation
        What is done to the input.
    weights : Weights
        Parts of the objective.
    ignored : tuple of int
        Features that the network must not see.
    images, sees, coarse, cell
        As in :class:`fulgor.models.ztf.Architecture`.
    """

    size: int = 31
    width: int = 4
    epochs: int = 30
    patience: int = 8
    batch: int = 64
    rate: float = 3e-3
    decay: float = 1e-4
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    weights: Weights = field(default_factory=Weights)
    ignored: tuple[int, ...] = ()
    images: tuple[str, ...] = STAMPS
    sees: tuple[str, ...] = SIGHTS
    coarse: int = 0
    cell: str = "decay-gru"


class _Loss(nn.Module):
    """The loss as a module: what several processes compute together must pass through one."""

    balance: Tensor

    def __init__(self, network: ZtfNetwork, balance: Tensor, weights: Weights, ranks: Ranks) -> None:
        super().__init__()
        self.network, self.weights, self.ranks = network, weights, ranks
        self.register_buffer("balance", balance)

    def forward(self, true: Batch, seen: Batch, hidden: Tensor, softness: float) -> Tensor:
        return objective(self.network, true, seen, hidden, self.balance, self.weights, softness, self.ranks)


class _Passes:
    """One training: network, data and schedule.

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
    ranks : Ranks
        The processes that train together.
    """

    def __init__(
        self, network: ZtfNetwork, dataset: Dataset, parts: dict[str, Index], config: TrainingConfig, ranks: Ranks
    ) -> None:
        self.network, self.dataset, self.parts, self.config, self.ranks = network, dataset, parts, config, ranks
        self.device = next(network.parameters()).device
        self.optimiser = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=config.decay)
        balance = class_balance(dataset, parts["train"]).to(self.device)
        self.measured: nn.Module = _Loss(network, balance, config.weights, ranks)
        self.trained = ranks.followed(self.measured)

    def run(self, number: int) -> tuple[float, float]:
        """Do pass ``number`` (from 1); return the training and the validation loss."""
        config = self.config
        order = np.random.default_rng([config.seed, number]).permutation(self.parts["train"])
        seed = config.seed * 100_003 + number + (self.ranks.number << 32)  # each process damages its own alerts
        random = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # of what the network drops
        softness = SOFTEST * max(0.0, 1.0 - (number - 1) / (HARD_FROM * config.epochs))
        self.network.train()
        loss, steps = 0.0, self.ranks.shares(order, config.batch)
        for step, index in enumerate(steps):
            rate = config.rate * rate_at((number - 1 + step / len(steps)) / config.epochs)
            found = self._loss(self.trained, batch_of(self.dataset, index), softness, random)
            loss += descend(self.network, self.optimiser, rate, found) / len(steps)
        self.network.eval()
        return self.ranks.average(loss), self._validate()

    def _loss(self, module: nn.Module, batch: Batch, softness: float, random: torch.Generator) -> Tensor:
        """Return the loss of a batch, in half precision where the device is made for it."""
        how = self.config.augmentation
        turned = turn(self.network.cropped(batch), how, random)
        damaged, hidden = corrupt(turned, how, random)
        true, seen, hidden = turned.to(self.device), damaged.to(self.device), hidden.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            found: Tensor = module(true, seen, hidden, softness)
            return found

    @torch.no_grad()
    def _validate(self) -> float:
        """Return the mean validation loss, with the same damage after every pass."""
        random = torch.Generator().manual_seed(self.config.seed + (self.ranks.number << 32))
        total, count = 0.0, 0.0
        for index in self.ranks.shares(self.parts["validation"], 4 * self.config.batch):
            loss = float(self._loss(self.measured, batch_of(self.dataset, index), 0.0, random))
            together = self.ranks.average(len(index))
            total, count = total + self.ranks.average(loss) * together, count + together
        return total / count if count else math.nan


def fit(
    network: ZtfNetwork,
    dataset: Dataset,
    parts: dict[str, Index],
    config: TrainingConfig,
    progress: Callable[[Epoch], None],
    checkpoint: Checkpoint | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Run the passes, and leave the best weights in the network.

    Parameters
    ----------
    network : ZtfNetwork
        Changed in place; it is trained on the device that it is on.
    dataset : Dataset
        Prepared alerts.
    parts : dict of str to ndarray
        Of them, ``train`` and ``validation``.
    config : TrainingConfig
        Schedule.
    progress : callable
        Called after every pass, those of an interrupted training included.
    checkpoint : Checkpoint, optional
        Where the training goes on from, and where it leaves its state after every pass.
    ranks : Ranks
        The processes that train together; all end with the same weights.

    Returns
    -------
    dict
        ``epochs_run``, ``best_epoch`` and ``validation_loss``.

    Raises
    ------
    ModelError
        No pass had a finite validation loss, or the checkpoint is of another training.
    """
    passes = _Passes(network, dataset, parts, config, ranks)
    return run_passes(network, passes.optimiser, passes.run, config, progress, checkpoint)


@torch.no_grad()
def infer(network: ZtfNetwork, dataset: Dataset, index: Index, size: int = 256) -> dict[str, NDArray[np.float32]]:
    """Return the network's outputs for some alerts, by the names in :data:`fulgor.models.layout.OUTPUTS`.

    A network of stored history looks back on the alerts of the data set.
    """
    device = next(network.parameters()).device
    history = StampHistory.of(network, dataset, index) if network.architecture.history_stamps else None
    rows = []
    for number, batch in enumerate(batches(dataset, index, size)):
        chosen = torch.arange(number * size, number * size + len(batch.labels))
        slots = [part.to(device) for part in history.slots(chosen)] if history else []
        rows.append([part.cpu().numpy() for part in network(*batch.to(device)[:5], *slots)])
    return {name: np.concatenate(column) for name, column in zip(OUTPUTS, zip(*rows, strict=True), strict=True)}
