"""How far the nearest training alerts are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from fulgor.models.scores.score import Arrays, Floats

__all__ = ["Neighbours"]

NEAREST = 5
"""Neighbours that are averaged over: one alone may be a twin."""

LARGEST = 1024
"""Training alerts that are kept: a quarter of a megabyte."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Mean distance to the nearest training alerts.

    Parameters
    ----------
    rows : ndarray of float32
        (M, D): latents of training alerts.
    """

    rows: Floats

    @classmethod
    def fit(cls, latents: Floats, seed: int) -> Self:
        """Keep latents (N, D), or a random part of them."""
        order = np.random.default_rng(seed).permutation(len(latents))[:LARGEST]
        return cls(np.asarray(latents[np.sort(order)], dtype=np.float32))

    def __call__(self, latents: Floats) -> Floats:
        """Return the mean Euclidean distance to the nearest rows, (N,), of latents (N, D)."""
        ours, theirs = latents.astype(np.float64), self.rows.astype(np.float64)
        squared = (ours**2).sum(1)[:, None] + (theirs**2).sum(1) - 2.0 * ours @ theirs.T
        count = min(NEAREST, len(theirs))
        nearest = np.partition(squared, count - 1, axis=1)[:, :count]
        return np.asarray(np.sqrt(np.maximum(nearest, 0.0)).mean(axis=1))

    def arrays(self) -> Arrays:
        """Return the rows."""
        return {"rows": self.rows}
