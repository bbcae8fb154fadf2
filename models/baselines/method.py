"""One way to train a baseline: drawn batches for a fixed time of computing, pre-trained where it is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from fulgor.errors import ModelError
from fulgor.models.baselines.views import Augment, Views
from fulgor.models.dataset import UNLABELLED
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import Index
from fulgor.models.evaluation.result import slug
from fulgor.models.wholefile import whole_file

__all__ = ["Baseline", "Budget", "Objective", "classified", "evenly", "tensors", "train"]

Objective = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]
"""A network, a batch of what it sees, and the labels, to the loss."""

BATCH = 128
"""Alerts that are predicted at once."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a training may take.

    Parameters
    ----------
    seconds, pretraining : float
        Processor time of one fit, and of the one pre-training that all fits start from.
    steps : int
        At most so many steps, however fast.
    batch, rate, seed : int, float, int
        Alerts per step, learning rate of Adam, and what fixes the draws.
    """

    seconds: float = 30.0
    pretraining: float = 60.0
    steps: int = 5000
    batch: int = 32
    rate: float = 1e-3
    seed: int = 0


def classified(entropy: float = 0.0) -> Objective:
    """Return the cross-entropy, less ``entropy`` times the entropy of the probabilities."""

    def loss(network: nn.Module, seen: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        logits = network(*seen)
        spread = torch.distributions.Categorical(logits=logits).entropy().mean()  # type: ignore[no-untyped-call]
        found: Tensor = F.cross_entropy(logits, labels) - entropy * spread
        return found

    return loss


class Baseline:
    """A network as a method.

    Parameters
    ----------
    name : str
        How the tables call it.
    build : callable
        Returns the network, given the number of classes. It maps what it sees to logits.
    views : callable
        Alerts and indices to what the network sees.
    budget : Budget
        Of the training.
    objective : callable, optional
        What is made small; by default the cross-entropy.
    augment : callable, optional
        Turns the first of the arrays that the network sees.
    simulated : AlertSet, optional
        Labelled alerts to pre-train on; they are no part of any fold.
    kept : Path, optional
        Folder for the pre-trained weights, so that an evaluation that was cut short need not train them again.
        One folder holds those of one budget and of one set of simulated alerts.
    """

    def __init__(
        self,
        name: str,
        build: Callable[[int], nn.Module],
        views: Views,
        budget: Budget,
        *,
        objective: Objective | None = None,
        augment: Augment | None = None,
        simulated: AlertSet | None = None,
        kept: Path | None = None,
    ) -> None:
        self.name = name
        self._build, self._views, self._budget = build, views, budget
        self._objective, self._augment = objective or classified(), augment
        self._simulated, self._kept = simulated, kept

    def fit(self, alerts: AlertSet, train: Index) -> _Fitted:
        """Train on the labelled ones of some alerts, from the pre-trained weights where there are any."""
        network = self._new(alerts)
        if self._pretrained is not None:
            network.load_state_dict(self._pretrained)
        self._train(network, alerts, train, self._budget.seconds)
        return _Fitted(network, self._views)

    @cached_property
    def _pretrained(self) -> dict[str, Any] | None:
        if self._simulated is None:
            return None
        path = self._kept and self._kept / f"{slug(self.name)}.safetensors"
        if path and path.exists():
            return load_file(path)
        network = self._new(self._simulated)
        self._train(network, self._simulated, self._simulated.labelled, self._budget.pretraining)
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as part:
                save_file(network.state_dict(), part)
        return network.state_dict()

    def _new(self, alerts: AlertSet) -> nn.Module:
        torch.manual_seed(self._budget.seed)
        return self._build(len(alerts.dataset.classes))

    def _train(self, network: nn.Module, alerts: AlertSet, index: Index, seconds: float) -> None:
        known = index[alerts.labels[index] != UNLABELLED]
        if not len(known):
            raise ModelError(f"{self.name!r} has no labelled alert to learn from; give more alerts")
        labels = torch.from_numpy(alerts.labels[known])
        seen = tensors(self._views(alerts, known))
        train(
            network, seen, labels, evenly(labels), self._objective, self._budget, seconds=seconds, augment=self._augment
        )


def train(
    network: nn.Module, seen: tuple[Tensor, ...], labels: Tensor, weights: Tensor, objective: Objective,
    budget: Budget, *, seconds: float, augment: Augment | None = None,
) -> None:  # fmt: skip
    """Train a network, in place, for a time of the processor.

    Parameters
    ----------
    network : Module
        Left in training mode.
    seen : tuple of Tensor
        What it sees of all alerts, each with a leading axis N.
    labels : Tensor
        int64 (N,), handed to the objective.
    weights : Tensor
        (N,): how often each alert is drawn.
    objective : callable
        What is made small.
    budget : Budget
        Batch, rate, seed and steps.
    seconds : float
        Of the processor.
    augment : callable, optional
        Turns the first of the arrays.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=budget.rate)
    random = torch.Generator().manual_seed(budget.seed)
    network.train()
    for rows, left in _batches(weights, budget, seconds, random):
        for group in optimiser.param_groups:
            group["lr"] = budget.rate * min(1.0, 2 * left)  # falls over the second half
        first, *rest = (part[rows] for part in seen)
        turned = first if augment is None else augment(first, random)
        loss = objective(network, (turned, *rest), labels[rows])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def evenly(labels: Tensor) -> Tensor:
    """Return weights (N,) by which each class is drawn as often as any other."""
    return (1.0 / torch.bincount(labels).clamp(min=1))[labels]


def tensors(arrays: tuple[NDArray[np.float32], ...]) -> tuple[Tensor, ...]:
    """Return arrays as tensors, without a copy."""
    return tuple(map(torch.from_numpy, arrays))


def _batches(
    weights: Tensor, budget: Budget, seconds: float, random: torch.Generator
) -> Iterator[tuple[Tensor, float]]:
    """Yield rows, and the part of the time that is left."""
    begun = time.process_time()
    for step in range(budget.steps):
        left = 1 - max((time.process_time() - begun) / seconds, step / budget.steps)
        if left <= 0:
            return
        yield torch.multinomial(weights, budget.batch, replacement=True, generator=random), left


@dataclass(frozen=True)
class _Fitted:
    network: nn.Module
    views: Views

    @torch.no_grad()
    def predict_proba(self, alerts: AlertSet, index: Index) -> NDArray[np.float64]:
        self.network.eval()
        found = [np.empty((0, len(alerts.dataset.classes)))]
        for at in range(0, len(index), BATCH):
            logits = self.network(*tensors(self.views(alerts, index[at : at + BATCH])))
            found.append(torch.softmax(logits.double(), dim=1).numpy())
        return np.concatenate(found)
