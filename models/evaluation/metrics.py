"""How good a classifier is: figures from labels and probabilities. Pure numpy.

Every figure takes optional weights, one an alert, which is how :mod:`fulgor.models.evaluation.bootstrap`
draws objects with replacement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Reliability",
    "accuracy",
    "auroc",
    "balanced_accuracy",
    "calibration_error",
    "confusion",
    "macro_f1",
    "mean_auroc",
    "reliability",
    "roc",
    "summary",
]

BINS = 10
"""Bins of confidence, equally wide."""

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]


def confusion(labels: Labels, predicted: Labels, classes: int, weights: Floats | None = None) -> NDArray[np.float64]:
    """Return the (weighted) counts (classes, classes), rows the truth, columns the prediction."""
    cells = np.bincount(labels * classes + predicted, weights=weights, minlength=classes**2)
    return cells.astype(np.float64).reshape(classes, classes)


def accuracy(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> float:
    """Return the part of the alerts whose likeliest class is the true one."""
    return float(np.average(probabilities.argmax(axis=1) == labels, weights=weights))


def balanced_accuracy(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> float:
    """Return the mean recall over the classes that occur."""
    counts = confusion(labels, probabilities.argmax(axis=1), probabilities.shape[1], weights)
    truth = counts.sum(axis=1)
    return float((np.diag(counts)[truth > 0] / truth[truth > 0]).mean())


def macro_f1(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> float:
    """Return the mean F1 over the classes that occur."""
    counts = confusion(labels, probabilities.argmax(axis=1), probabilities.shape[1], weights)
    truth, claimed = counts.sum(axis=1), counts.sum(axis=0)
    occurs = truth > 0
    return float((2 * np.diag(counts)[occurs] / (truth[occurs] + claimed[occurs])).mean())


@dataclass(frozen=True, slots=True)
class Reliability:
    """What a confidence is worth, bin by bin; empty bins are left out.

    Parameters
    ----------
    confidence, correct : ndarray
        (bins,): mean probability of the likeliest class, and the part that is right.
    count : ndarray
        (bins,): (weighted) number of alerts.
    """

    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]
    count: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error."""
        return float((np.abs(self.correct - self.confidence) * self.count).sum() / self.count.sum())


def reliability(labels: Labels, probabilities: Floats, weights: Floats | None = None, bins: int = BINS) -> Reliability:
    """Return confidence against correctness of the likeliest class (Guo et al. 2017, arXiv:1706.04599)."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    weight = np.ones(len(labels)) if weights is None else weights
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, weights=weight, minlength=bins).astype(np.float64)
    sums = [np.bincount(place, weights=weight * values, minlength=bins) for values in (confidence, right)]
    full = count > 0
    return Reliability(sums[0][full] / count[full], sums[1][full] / count[full], count[full])


def calibration_error(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> float:
    """Return the expected calibration error (ECE) of the likeliest class, 10 equal bins."""
    return reliability(labels, probabilities, weights).error


def roc(positive: NDArray[np.bool_], score: Floats, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Return false and true positive rates, from (0, 0) to (1, 1), by falling score; ties are one step."""
    weight = np.ones(len(score)) if weights is None else np.asarray(weights, dtype=np.float64)
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    rates = []
    for members in (~positive, positive):
        total = np.cumsum((weight * members)[order])
        rates.append(np.concatenate([[0.0], total[last]]) / total[-1])
    return rates[0], rates[1]


def auroc(positive: NDArray[np.bool_], score: Floats, weights: Floats | None = None) -> float:
    """Return the chance that a positive alert scores above a negative one, ties half.

    Parameters
    ----------
    positive : ndarray
        bool (N,); both kinds must occur with a weight above 0, or the result is NaN.
    score : ndarray
        (N,).
    weights : ndarray, optional
        (N,).
    """
    kept = np.ones(len(score), dtype=bool) if weights is None else weights > 0
    if positive[kept].all() or not positive[kept].any():
        return float("nan")
    false, true = roc(positive, score, weights)
    return float((np.diff(false) * (true[1:] + true[:-1])).sum() / 2)


def mean_auroc(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> float:
    """Return the mean over the classes of the AUROC of one class against the rest."""
    each = [auroc(labels == k, probabilities[:, k], weights) for k in np.unique(labels).tolist()]
    return float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")


def summary(labels: Labels, probabilities: Floats, classes: Sequence[str]) -> dict[str, Any]:
    """Return the figures that a card keeps.

    Parameters
    ----------
    labels : ndarray
        int64 (N,); negative ones are left out.
    probabilities : ndarray
        (N, classes).
    classes : sequence of str
        Names.

    Returns
    -------
    dict
        ``alerts``, ``accuracy``, ``balanced_accuracy`` and ``macro_f1`` over the classes that occur,
        ``calibration_error``, ``recall`` by class and ``confusion``; only ``alerts`` if none is labelled.
    """
    known = labels >= 0
    labels, probabilities = labels[known], probabilities[known]
    if not len(labels):
        return {"alerts": 0}
    counts = confusion(labels, probabilities.argmax(axis=1), len(classes))
    truth = counts.sum(axis=1)
    recall = {name: counts[k, k] / truth[k] for k, name in enumerate(classes) if truth[k]}
    return {
        "alerts": len(labels),
        "accuracy": accuracy(labels, probabilities),
        "balanced_accuracy": balanced_accuracy(labels, probabilities),
        "macro_f1": macro_f1(labels, probabilities),
        "calibration_error": calibration_error(labels, probabilities),
        "recall": recall,
        "confusion": counts.astype(int).tolist(),
    }
