"""Probabilities that hold what they say: weights that make all classes alike, and a temperature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

__all__ = ["best_temperature", "class_balance"]

TEMPERATURES = (math.log(0.05), math.log(20.0))
"""Range in which the temperature is looked for, log."""


class _Labelled(Protocol):
    @property
    def labels(self) -> NDArray[np.int64]: ...
    @property
    def classes(self) -> Sequence[str]: ...


def class_balance(dataset: _Labelled, index: NDArray[np.int64]) -> Tensor:
    """Return class weights that make the prior uniform over the classes that occur.

    Parameters
    ----------
    dataset : with ``labels`` and ``classes``
        int64 (N,), negative where unknown; names of the classes.
    index : ndarray
        int64 (M,): the rows that count.

    Returns
    -------
    Tensor
        float32 (classes,), 0 for a class that does not occur.
    """
    labels = dataset.labels[index]
    counts = np.bincount(labels[labels >= 0], minlength=len(dataset.classes))
    weights = np.where(counts > 0, 1.0 / np.maximum(counts, 1), 0.0)
    return torch.from_numpy(weights / max(weights.sum(), 1e-12) * len(weights)).float()


def best_temperature(logits: Tensor, labels: Tensor, balance: Tensor) -> float:
    """Return the temperature that makes held-out labels the least surprising (Guo et al. 2017, arXiv:1706.04599).

    Parameters
    ----------
    logits : Tensor
        (N, classes), of what the training did not see.
    labels : Tensor
        int64 (N,).
    balance : Tensor
        (classes,): weights of the classes.
    """

    def surprise(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        return float(torch.nn.functional.cross_entropy(scaled, labels, weight=balance))

    found = minimize_scalar(surprise, bounds=TEMPERATURES, method="bounded")
    return math.exp(float(found.x))
