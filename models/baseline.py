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

__all__ = ["metadata_only"]

STEPS = 300
RATE = 1e-2
HIDDEN = 32


def metadata_only(
    dataset: Dataset, fit: NDArray[np.int64], test: NDArray[np.int64], balance: Tensor, seed: int
) -> dict[str, Any]:
    """Return the figures of a small network that sees nothing but the features.

    Parameters
    ----------
    dataset : Dataset
        Prepared alerts.
    fit, test : ndarray
        Indices to train on and to measure on.
    balance : Tensor
        (classes,): weights of the classes, as in the training of the model.
    seed : int
        Of the weights.

    Returns
    -------
    dict
        As :func:`fulgor.models.evaluation.summary`.
    """
    known = fit[dataset.labels[fit] != UNLABELLED]
    features = np.asarray(dataset.arrays["features"], dtype=np.float64)
    mean, spread = features[known].mean(axis=0), features[known].std(axis=0)
    scaled = torch.from_numpy((features - mean) / np.where(spread > 1e-6, spread, 1.0)).float().clamp(-5, 5)
    labels = torch.from_numpy(np.asarray(dataset.labels[known]))
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(features.shape[1], HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, len(dataset.classes)))
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=RATE)
    for _ in range(STEPS):
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(network(scaled[known]), labels, weight=balance).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        probabilities = torch.softmax(network(scaled[test]), dim=1).numpy()
    return summary(dataset.labels[test], probabilities, dataset.classes)
