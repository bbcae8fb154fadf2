"""How good a classifier is: figures from labels and probabilities. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["calibration_error", "confusion", "summary"]

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]


def confusion(labels: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """Return the counts (classes, classes), rows the truth, columns the prediction."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def calibration_error(labels: Labels, probabilities: Floats, bins: int = 10) -> float:
    """Return the expected calibration error of the winning class (Guo et al. 2017, arXiv:1706.04599)."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(right[place == b].mean() - confidence[place == b].mean()) * (place == b).mean() for b in set(place)]
    return float(sum(gaps))


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
    hits, truth, claimed = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    occurs = truth > 0
    recall = hits[occurs] / truth[occurs]
    f1 = 2 * hits[occurs] / (truth[occurs] + claimed[occurs])
    names = [name for name, here in zip(classes, occurs, strict=True) if here]
    return {
        "alerts": len(labels),
        "accuracy": float(hits.sum() / len(labels)),
        "balanced_accuracy": float(recall.mean()),
        "macro_f1": float(f1.mean()),
        "calibration_error": calibration_error(labels, probabilities),
        "recall": dict(zip(names, recall.tolist(), strict=True)),
        "confusion": counts.tolist(),
    }
