"""Alerts of a data set as the tensors of one step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fulgor.models.dataset import Dataset

__all__ = ["Batch", "Index", "batch_of", "batches"]

Index = NDArray[np.int64]


class Batch(NamedTuple):
    """Model input of N alerts, and their labels int64 (N,)."""

    stamps: Tensor
    masks: Tensor
    sequence: Tensor
    sequence_mask: Tensor
    features: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(*(part.to(device, non_blocking=True) for part in self))


def batch_of(dataset: Dataset, chosen: Index) -> Batch:
    """Return some alerts of a data set."""
    labels = torch.from_numpy(np.asarray(dataset.labels[chosen]))
    return Batch(**{name: torch.from_numpy(array) for name, array in dataset.take(chosen).items()}, labels=labels)


def batches(dataset: Dataset, index: Index, size: int) -> Iterator[Batch]:
    """Yield the alerts of an index in its order, ``size`` at a time."""
    for start in range(0, len(index), size):
        yield batch_of(dataset, index[start : start + size])
