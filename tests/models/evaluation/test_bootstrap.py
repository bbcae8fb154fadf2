from __future__ import annotations

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.evaluation.bootstrap import Bootstrap
from fulgor.models.evaluation.metrics import accuracy, balanced_accuracy


def _predictions(labels: np.ndarray, right: np.ndarray, classes: int = 3) -> np.ndarray:
    said = np.where(right, labels, (labels + 1) % classes)
    return np.eye(classes)[said] * 0.8 + 0.2 / classes


def test_width_is_that_of_independent_objects() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 400)
    probabilities = _predictions(labels, random.random(400) < 0.8)
    found = Bootstrap([str(n) for n in range(400)]).interval(accuracy, labels, probabilities)
    assert found.low < found.value < found.high
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * np.sqrt(0.8 * 0.2 / 400), rel=0.15)


def test_repeated_alerts_of_an_object_add_no_certainty() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, 50)
    probabilities = _predictions(labels, random.random(50) < 0.7)
    names = np.array([str(n) for n in range(50)])
    once = Bootstrap(names).interval(accuracy, labels, probabilities)
    often = Bootstrap(np.repeat(names, 8)).interval(accuracy, np.repeat(labels, 8), np.repeat(probabilities, 8, axis=0))
    assert often.value == pytest.approx(once.value)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.1)


def test_a_paired_difference_is_sharper_than_the_intervals() -> None:
    random = np.random.default_rng(2)
    labels = random.integers(0, 3, 300)
    right = random.random(300) < 0.7
    better = right | (random.random(300) < 0.15)
    ours, theirs = _predictions(labels, better), _predictions(labels, right)
    bootstrap = Bootstrap([str(n) for n in range(300)])
    gain = bootstrap.difference(balanced_accuracy, labels, ours, theirs)
    assert gain.is_gain
    assert bootstrap.interval(balanced_accuracy, labels, ours).low < (
        bootstrap.interval(balanced_accuracy, labels, theirs).high
    )
    nothing = bootstrap.difference(balanced_accuracy, labels, theirs, theirs)
    assert nothing == (0, 0, 0)
    assert not nothing.is_gain


def test_confusion_rows_are_rates_with_intervals() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    predicted = np.array([0, 0, 0, 1, 1, 1])
    matrix = Bootstrap(list("abcdef")).confusion(labels, predicted, 3)
    assert matrix[0][0].value == 0.75
    assert matrix[0][0].low <= 0.5
    assert matrix[1][1] == (1, 1, 1)
    assert np.isnan(matrix[2][2].value)


def test_nothing_to_draw_from() -> None:
    with pytest.raises(ModelError, match="no labelled alert"):
        Bootstrap([])
