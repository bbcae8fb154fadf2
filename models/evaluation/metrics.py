"""How good a classifier is: figures from labels and probabilities. Pure numpy.

Every figure takes optional weights (..., N), one an alert, and then comes with the shape of the leading axes:
thousands of resamples of :mod:`fulgor.models.evaluation.bootstrap` are one product of matrices.
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
    "mutual_information",
    "reliability",
    "roc",
    "summary",
]

BINS = 10
"""Bins of confidence, equally wide."""

Floats = NDArray[np.floating[Any]]
Values = NDArray[np.float64]
Labels = NDArray[np.int64]


def confusion(labels: Labels, predicted: Labels, classes: int, weights: Floats | None = None) -> Values:
    """Return the (weighted) counts (..., classes, classes), rows the truth, columns the prediction."""
    cell = np.zeros((len(labels), classes**2))
    cell[np.arange(len(labels)), labels * classes + predicted] = 1.0
    counts = _weights(weights, len(labels)) @ cell
    return counts.reshape(*counts.shape[:-1], classes, classes)


def accuracy(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Values:
    """Return the part of the alerts whose likeliest class is the true one."""
    weight = _weights(weights, len(labels))
    return _values(weight @ (probabilities.argmax(axis=1) == labels) / weight.sum(axis=-1))


def balanced_accuracy(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Values:
    """Return the mean recall over the classes that occur."""
    hits, truth, _ = _margins(labels, probabilities, weights)
    return _mean(hits, truth, truth > 0)


def macro_f1(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Values:
    """Return the mean F1 over the classes that occur."""
    hits, truth, claimed = _margins(labels, probabilities, weights)
    return _mean(2 * hits, truth + claimed, truth > 0)


@dataclass(frozen=True, slots=True)
class Reliability:
    """What a confidence is worth, bin by bin; empty bins are left out.

    Parameters
    ----------
    confidence, correct : ndarray
        (bins,): mean probability of the likeliest class, and the part that is right.
    count : ndarray
        (bins,): number of alerts.
    """

    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]
    count: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error."""
        return float((np.abs(self.correct - self.confidence) * self.count).sum() / self.count.sum())


def reliability(labels: Labels, probabilities: Floats, bins: int = BINS) -> Reliability:
    """Return confidence against correctness of the likeliest class (Guo et al. 2017, arXiv:1706.04599)."""
    confidence, right, member = _binned(labels, probabilities, bins)
    count = member.sum(axis=0)
    full = count > 0
    sums = [values @ member for values in (confidence, right)]
    return Reliability(sums[0][full] / count[full], sums[1][full] / count[full], count[full])


def calibration_error(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Values:
    """Return the expected calibration error (ECE) of the likeliest class, 10 equal bins."""
    confidence, right, member = _binned(labels, probabilities, BINS)
    weight = _weights(weights, len(labels))
    gaps = weight @ (member * (right - confidence)[:, None])
    return _values(np.abs(gaps).sum(axis=-1) / weight.sum(axis=-1))


def roc(positive: NDArray[np.bool_], score: Floats, weights: Floats | None = None) -> tuple[Values, Values]:
    """Return false and true positive rates (..., points), from 0 to 1, by falling score; ties are one step."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    weight = _weights(weights, len(score))[..., order]
    false, true = (_rate(weight * members[order], last) for members in (~positive, positive))
    return false, true


def auroc(positive: NDArray[np.bool_], score: Floats, weights: Floats | None = None) -> Values:
    """Return the chance that a positive alert scores above a negative one, ties half.

    Parameters
    ----------
    positive : ndarray
        bool (N,); both kinds must occur with a weight above 0, or the result is NaN.
    score : ndarray
        (N,).
    weights : ndarray, optional
        (..., N).
    """
    false, true = roc(positive, score, weights)
    return _values((np.diff(false) * (true[..., 1:] + true[..., :-1])).sum(axis=-1) / 2)


def mutual_information(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Values:
    """Return what class and likeliest column tell of each other (NMI), from 0 to 1.

    In parts of the mean of their entropies; 0 where both have none. It is above 0 by chance, the more so the
    fewer alerts.
    """
    predicted = _values(probabilities).argmax(axis=1)
    counts = confusion(labels, predicted, probabilities.shape[1], weights)
    shares = counts / counts.sum(axis=(-2, -1), keepdims=True)
    truth, told = _entropy(shares.sum(axis=-1)), _entropy(shares.sum(axis=-2))
    shared = truth + told - _entropy(shares.reshape(*shares.shape[:-2], -1))
    whole = truth + told
    return np.divide(2 * shared, whole, out=np.zeros_like(whole), where=whole > 0)


def mean_auroc(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Values:
    """Return the mean over the classes of the AUROC of one class against the rest; NaN where one is absent."""
    each = [auroc(labels == k, probabilities[:, k], weights) for k in np.unique(labels).tolist()]
    return _values(np.mean(each, axis=0))


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
    recall = {name: float(counts[k, k] / truth[k]) for k, name in enumerate(classes) if truth[k]}
    return {
        "alerts": len(labels),
        "accuracy": float(accuracy(labels, probabilities)),
        "balanced_accuracy": float(balanced_accuracy(labels, probabilities)),
        "macro_f1": float(macro_f1(labels, probabilities)),
        "calibration_error": float(calibration_error(labels, probabilities)),
        "recall": recall,
        "confusion": counts.astype(int).tolist(),
    }


def _values(found: Any) -> Values:
    return np.asarray(found, dtype=np.float64)


def _entropy(shares: Values) -> Values:
    """Return the entropy along the last axis, nats."""
    return _values(-(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=-1))


def _weights(weights: Floats | None, count: int) -> Values:
    return np.ones(count) if weights is None else _values(weights)


def _margins(labels: Labels, probabilities: Floats, weights: Floats | None) -> tuple[Values, Values, Values]:
    """Return hits, true and claimed counts of each class, (..., classes)."""
    counts = confusion(labels, _values(probabilities).argmax(axis=1), probabilities.shape[1], weights)
    return np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1), counts.sum(axis=-2)


def _mean(parts: Values, wholes: Values, where: NDArray[np.bool_]) -> Values:
    """Return the mean of ``parts / wholes`` along the last axis, over the places that count."""
    rates = np.divide(parts, wholes, out=np.zeros_like(wholes), where=where)
    return _values(rates.sum(axis=-1) / where.sum(axis=-1))


def _binned(labels: Labels, probabilities: Floats, bins: int) -> tuple[Values, Values, Values]:
    """Return confidence (N,), whether it is right (N,), and the membership in bins (N, bins)."""
    confidence = _values(probabilities.max(axis=1))
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    return confidence, _values(probabilities.argmax(axis=1) == labels), np.eye(bins)[place]


def _rate(ordered: Values, last: NDArray[np.int64]) -> Values:
    """Return the cumulated parts of ordered weights (..., N), from 0, at the end of each tie; NaN of nothing."""
    total = np.cumsum(ordered, axis=-1)
    whole = total[..., -1:]
    start = np.zeros_like(whole)
    steps = np.concatenate([start, total[..., last]], axis=-1)
    return _values(np.divide(steps, whole, out=np.full_like(steps, np.nan), where=whole > 0))
