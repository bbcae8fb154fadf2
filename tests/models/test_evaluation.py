from __future__ import annotations

import numpy as np
import pytest

from fulgor.models.evaluation import calibration_error, confusion, summary


def test_summary_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, -1])
    probabilities = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.3, 0.7, 0], [0.4, 0.6, 0], [1, 0, 0]])
    figures = summary(labels, probabilities, ("a", "b", "c"))
    assert figures["alerts"] == 4
    assert figures["accuracy"] == pytest.approx(3 / 4)
    assert figures["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert figures["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert figures["recall"] == pytest.approx({"a": 2 / 3, "b": 1.0})
    assert figures["confusion"] == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_nothing_labelled() -> None:
    assert summary(np.array([-1]), np.ones((1, 2)) / 2, ("a", "b")) == {"alerts": 0}


def test_confusion_counts_pairs() -> None:
    assert confusion(np.array([0, 1, 1]), np.array([0, 0, 0]), 2).tolist() == [[1, 0], [2, 0]]


def test_calibration_error() -> None:
    honest = np.repeat([[0.75, 0.25]], 100, axis=0)
    labels = (np.arange(100) % 4 == 0).astype(np.int64)  # right in 75 of 100
    assert calibration_error(labels, honest) == pytest.approx(0.0, abs=1e-9)
    assert calibration_error(labels, np.repeat([[1.0, 0.0]], 100, axis=0)) == pytest.approx(0.25)
