"""Intervals by drawing objects, not alerts, with replacement: the alerts of one object are no independent witnesses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ModelError
from fulgor.models.evaluation.metrics import confusion

__all__ = ["Bootstrap", "Interval", "Statistic"]

RESAMPLES: Final = 2000
SEED: Final = 1
LEVEL: Final = 0.95

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]

Statistic = Callable[[Labels, Floats, Floats | None], NDArray[np.float64]]
"""A figure of labels (N,), probabilities (N, classes) and weights (..., N), such as those of :mod:`.metrics`."""


class Interval(NamedTuple):
    """A figure and its 95 % interval.

    Parameters
    ----------
    value, low, high : float
        The figure on the alerts themselves, and the 2.5 and 97.5 percentiles over the resamples.
    """

    value: float
    low: float
    high: float

    @property
    def is_gain(self) -> bool:
        """Whether a difference counts: its interval lies above 0."""
        return self.low > 0

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Bootstrap:
    """Resamples of the objects behind some alerts; the same for every figure, so that differences are paired.

    Parameters
    ----------
    objects : sequence of str
        (N,): the object of each alert.
    resamples, seed : int
        How many, and of which draw.

    Attributes
    ----------
    weights : ndarray
        float64 (resamples, N): how often each alert was drawn.

    Raises
    ------
    ModelError
        There is no alert.
    """

    def __init__(
        self, objects: Sequence[str] | NDArray[np.str_], *, resamples: int = RESAMPLES, seed: int = SEED
    ) -> None:
        names, member = np.unique(np.asarray(objects, dtype=str), return_inverse=True)
        if not len(names):
            raise ModelError("no labelled alert to measure on; check the labels")
        random = np.random.default_rng(seed)
        drawn = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
        self.weights: NDArray[np.float64] = drawn[:, member].astype(np.float64)

    def interval(self, statistic: Statistic, labels: Labels, probabilities: Floats) -> Interval:
        """Return a figure with its interval; resamples where it is NaN (a class was not drawn) are left out."""
        return _interval(statistic(labels, probabilities, None), statistic(labels, probabilities, self.weights))

    def difference(self, statistic: Statistic, labels: Labels, ours: Floats, theirs: Floats) -> Interval:
        """Return how much larger a figure is for ``ours`` than for ``theirs``, over the same resamples.

        Parameters
        ----------
        statistic : Statistic
            The figure.
        labels : ndarray
            int64 (N,).
        ours, theirs : ndarray
            (N, classes): two predictions of the same alerts.
        """
        value, drawn = (statistic(labels, ours, w) - statistic(labels, theirs, w) for w in (None, self.weights))
        return _interval(value, drawn)

    def confusion(self, labels: Labels, predicted: Labels, classes: int) -> list[list[Interval]]:
        """Return the confusion matrix with intervals, each row in parts of the true class; NaN for absent classes."""
        value, drawn = (_rates(confusion(labels, predicted, classes, w)) for w in (None, self.weights))
        return [[_interval(value[i, j], drawn[:, i, j]) for j in range(classes)] for i in range(classes)]

    def recall(self, labels: Labels, predicted: Labels, classes: int) -> list[Interval]:
        """Return the recall of each class with its interval; NaN for absent classes."""
        matrix = self.confusion(labels, predicted, classes)
        return [matrix[k][k] for k in range(classes)]


def _rates(counts: Floats) -> NDArray[np.float64]:
    """Return confusion matrices (..., classes, classes) with rows that sum to 1, or are NaN."""
    total = counts.sum(axis=-1, keepdims=True)
    rates: NDArray[np.float64] = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    return rates


def _interval(value: Floats, values: Floats) -> Interval:
    known = values[np.isfinite(values)]
    if not len(known):
        return Interval(float(value), float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))
