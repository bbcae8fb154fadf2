"""What the metadata alone can do: the figure that any network on stamps must beat."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.evaluation import summary

__all__ = ["MetadataBaseline"]

STEPS = 300
RATE = 1e-2
HIDDEN = 32


class MetadataBaseline:
    """A small network that sees nothing but the features.

    Parameters
    ----------
    dataset : Dataset
        Prepared alerts.
    fit : ndarray
        Indices to train on.
    balance : Tensor
        (classes,): weights of the classes, as in the training of the model.
    seed : int
        Of the weights.
    """

    def __init__(self, dataset: Dataset, fit: NDArray[np.int64], balance: Tensor, seed: int) -> None:
        known = fit[dataset.labels[fit] != UNLABELLED]
        features = np.asarray(dataset.arrays["features"][known], dtype=np.float64)
        spread = features.std(axis=0)
        self._mean, self._spread = features.mean(axis=0), np.where(spread > 1e-6, spread, 1.0)
        self._classes = dataset.classes
        torch.manual_seed(seed)
        self._network = nn.Sequential(
            nn.Linear(features.shape[1], HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, len(dataset.classes))
        )
        self._train(self._scaled(features), torch.from_numpy(np.asarray(dataset.labels[known])), balance)

    def _scaled(self, features: NDArray[Any]) -> Tensor:
        return torch.from_numpy((features - self._mean) / self._spread).float().clamp(-5, 5)

    def _train(self, scaled: Tensor, labels: Tensor, balance: Tensor) -> None:
        optimiser = torch.optim.AdamW(self._network.parameters(), lr=RATE, weight_decay=RATE)
        for _ in range(STEPS):
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(self._network(scaled), labels, weight=balance).backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    @torch.no_grad()
    def measure(self, dataset: Dataset, index: NDArray[np.int64]) -> dict[str, Any]:
        """Return the figures on some alerts, as :func:`fulgor.models.evaluation.summary`."""
        scaled = self._scaled(np.asarray(dataset.arrays["features"][index], dtype=np.float64))
        probabilities = torch.softmax(self._network(scaled), dim=1).numpy()
        return summary(dataset.labels[index], probabilities, self._classes)
