"""One way to train a baseline: balanced batches for a fixed time of computing, pre-trained where it is asked for."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from fulgor.errors import ModelError
from fulgor.models.baselines import braai, deep_hits
from fulgor.models.dataset import UNLABELLED
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import Index
from fulgor.models.evaluation.rulers import METADATA
from fulgor.preprocessing.ztf import ALERCE, prepare

__all__ = ["Baseline", "Budget", "as_real_bogus", "baselines", "real_bogus"]

REAL_BOGUS: Final = ("real", "bogus")

Views = Callable[[AlertSet, Index], NDArray[np.float32]]
Augment = Callable[[Tensor, torch.Generator], Tensor]


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


class Baseline:
    """A network as a method.

    Parameters
    ----------
    name : str
        How the tables call it.
    build : callable
        Returns the network, given the number of classes.
    stamps : callable
        Alerts and indices to its stamps, (n, 3, size, size).
    budget : Budget
        Of the training.
    entropy : float
        Weight of the entropy of the probabilities, which is subtracted from the loss.
    augment : callable, optional
        Turns a batch of stamps.
    simulated : AlertSet, optional
        Labelled alerts to pre-train on; they are no part of any fold.
    """

    def __init__(
        self,
        name: str,
        build: Callable[[int], nn.Module],
        stamps: Views,
        budget: Budget,
        *,
        entropy: float = 0.0,
        augment: Augment | None = None,
        simulated: AlertSet | None = None,
    ) -> None:
        self.name = name
        self._build, self._stamps, self._budget = build, stamps, budget
        self._entropy, self._augment, self._simulated = entropy, augment, simulated

    def fit(self, alerts: AlertSet, train: Index) -> _Fitted:
        """Train on the labelled ones of some alerts, from the pre-trained weights where there are any."""
        torch.manual_seed(self._budget.seed)
        network = self._build(len(alerts.dataset.classes))
        if self._pretrained is not None:
            network.load_state_dict(copy.deepcopy(self._pretrained))
        self._train(network, alerts, train, self._budget.seconds)
        return _Fitted(network, self._stamps)

    @cached_property
    def _pretrained(self) -> dict[str, Any] | None:
        if self._simulated is None:
            return None
        torch.manual_seed(self._budget.seed)
        network = self._build(len(self._simulated.dataset.classes))
        self._train(network, self._simulated, self._simulated.labelled, self._budget.pretraining)
        return network.state_dict()

    def _train(self, network: nn.Module, alerts: AlertSet, train: Index, seconds: float) -> None:
        known = train[alerts.labels[train] != UNLABELLED]
        if not len(known):
            raise ModelError(f"{self.name!r} has no labelled alert to learn from; give more alerts")
        stamps = torch.from_numpy(self._stamps(alerts, known))
        features = torch.from_numpy(alerts.feature(METADATA, known)).float()
        labels = torch.from_numpy(alerts.labels[known])
        optimiser = torch.optim.Adam(network.parameters(), lr=self._budget.rate)
        random = torch.Generator().manual_seed(self._budget.seed)
        network.train()
        for rows, left in self._batches(labels, seconds, random):
            for group in optimiser.param_groups:
                group["lr"] = self._budget.rate * min(1.0, 2 * left)  # falls over the second half
            seen = stamps[rows] if self._augment is None else self._augment(stamps[rows], random)
            logits = network(seen, features[rows])
            spread = torch.distributions.Categorical(logits=logits).entropy().mean()  # type: ignore[no-untyped-call]
            loss = F.cross_entropy(logits, labels[rows]) - self._entropy * spread
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

    def _batches(self, labels: Tensor, seconds: float, random: torch.Generator) -> Iterator[tuple[Tensor, float]]:
        """Yield rows, every class as often as any other, and the part of the time that is left."""
        weights = (1.0 / torch.bincount(labels).clamp(min=1))[labels]
        begun = time.process_time()
        for step in range(self._budget.steps):
            left = 1 - max((time.process_time() - begun) / seconds, step / self._budget.steps)
            if left <= 0:
                return
            yield torch.multinomial(weights, self._budget.batch, replacement=True, generator=random), left


@dataclass(frozen=True)
class _Fitted:
    network: nn.Module
    stamps: Views

    @torch.no_grad()
    def predict_proba(self, alerts: AlertSet, index: Index) -> NDArray[np.float64]:
        self.network.eval()
        found = [np.empty((0, len(alerts.dataset.classes)))]
        for at in range(0, len(index), 128):
            part = index[at : at + 128]
            features = torch.from_numpy(alerts.feature(METADATA, part)).float()
            logits = self.network(torch.from_numpy(self.stamps(alerts, part)), features)
            found.append(torch.softmax(logits.double(), dim=1).numpy())
        return np.concatenate(found)


def baselines(budget: Budget, simulated: AlertSet | None = None) -> tuple[Baseline, ...]:
    """Return the five-class baselines: ALeRCE's, and its net without rotations but turned stamps in training."""
    note = "" if simulated is None else ", pre-trained on simulated"

    def cyclic(classes: int) -> nn.Module:
        return deep_hits.DeepHits(len(METADATA), classes)

    def plain(classes: int) -> nn.Module:
        return deep_hits.DeepHits(len(METADATA), classes, cyclic=False)

    stamps = _AlerceStamps()
    return (
        Baseline(f"ALeRCE's net{note}", cyclic, stamps, budget, entropy=0.5, simulated=simulated),
        Baseline(f"plain CNN, rotated{note}", plain, stamps, budget, augment=_turned, simulated=simulated),
    )


def real_bogus(budget: Budget, simulated: AlertSet | None = None) -> tuple[Baseline, ...]:
    """Return the baselines for alerts relabelled by :func:`as_real_bogus`."""
    note = "" if simulated is None else ", pre-trained on simulated"
    told = None if simulated is None else as_real_bogus(simulated)
    return (Baseline(f"braai's net{note}", lambda _: braai.Vgg6(), _whole, budget, augment=_flipped, simulated=told),)


def as_real_bogus(alerts: AlertSet) -> AlertSet:
    """Return the alerts with two classes, real and bogus; unlabelled ones stay so."""
    bogus = alerts.dataset.classes.index("bogus")
    labels = np.where(alerts.labels == UNLABELLED, UNLABELLED, (alerts.labels == bogus).astype(np.int64))
    return replace(alerts, dataset=replace(alerts.dataset, labels=labels, classes=REAL_BOGUS))


class _AlerceStamps:
    """Stamps as ALeRCE prepares them: centre crop of 21 pixels, each from 0 to 1; each alert's once."""

    def __init__(self) -> None:
        self._known: dict[int, NDArray[np.float32]] = {}

    def __call__(self, alerts: AlertSet, index: Index) -> NDArray[np.float32]:
        chosen = [alerts.alerts[n] for n in index.tolist()]
        for alert in chosen:
            if alert.candid not in self._known:
                self._known[alert.candid] = prepare(alert, ALERCE).arrays["stamps"]
        return np.stack([self._known[alert.candid] for alert in chosen])


def _whole(alerts: AlertSet, index: Index) -> NDArray[np.float32]:
    """Return the whole stamps as our own networks get them."""
    return np.asarray(alerts.dataset.arrays["stamps"][index], dtype=np.float32)


def _turned(stamps: Tensor, random: torch.Generator) -> Tensor:
    """Turn each stamp by an angle of its own, and mirror half of them."""
    angle = torch.rand(len(stamps), generator=random) * 2 * torch.pi
    flip = torch.where(torch.rand(len(stamps), generator=random) < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(angle)
    rows = [
        torch.stack([angle.cos() * flip, -angle.sin(), zero], 1),
        torch.stack([angle.sin() * flip, angle.cos(), zero], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(stamps.shape), align_corners=False)
    return F.grid_sample(stamps, grid, padding_mode="border", align_corners=False)


def _flipped(stamps: Tensor, random: torch.Generator) -> Tensor:
    """Turn and mirror a batch into one of the eight orientations of the square."""
    turns, mirror = int(torch.randint(4, (), generator=random)), int(torch.randint(2, (), generator=random))
    turned = torch.rot90(stamps, turns, (2, 3))
    return turned.flip(3) if mirror else turned
