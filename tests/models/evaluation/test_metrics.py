from __future__ import annotations

import numpy as np
import pytest

from fulgor.models.evaluation.metrics import (
    accuracy,
    auroc,
    balanced_accuracy,
    calibration_error,
    confusion,
    macro_f1,
    mean_auroc,
    mutual_information,
    reliability,
    summary,
)


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


def test_weights_are_repetitions() -> None:
    random = np.random.default_rng(3)
    labels, probabilities = random.integers(0, 3, 60), random.dirichlet([1, 1, 1], 60).round(2)
    weights = random.integers(0, 4, 60)
    again = np.repeat(np.arange(60), weights)
    for figure in (accuracy, balanced_accuracy, macro_f1, calibration_error, mean_auroc):
        assert figure(labels, probabilities, weights.astype(float)) == pytest.approx(
            figure(labels[again], probabilities[again])
        )


def test_many_weights_at_once() -> None:
    random = np.random.default_rng(6)
    labels, probabilities = random.integers(0, 3, 40), random.dirichlet([1, 1, 1], 40).round(1)
    weights = random.integers(0, 3, (7, 40)).astype(float)
    for figure in (accuracy, balanced_accuracy, macro_f1, calibration_error, mean_auroc):
        each = [figure(labels, probabilities, one) for one in weights]
        assert figure(labels, probabilities, weights) == pytest.approx(np.array(each))


def test_auroc_is_scikit_learns() -> None:
    reference = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(4)
    positive, score = random.random(200) < 0.3, random.random(200).round(1)  # with ties
    weights = random.integers(0, 3, 200).astype(float)
    assert auroc(positive, score) == pytest.approx(reference.roc_auc_score(positive, score))
    assert auroc(positive, score, weights) == pytest.approx(
        reference.roc_auc_score(positive, score, sample_weight=weights)
    )


def test_auroc_needs_both_kinds() -> None:
    assert np.isnan(auroc(np.array([True, True]), np.array([0.1, 0.2])))


def test_reliability_bins() -> None:
    probabilities = np.array([[0.55, 0.45], [0.52, 0.48], [1.0, 0.0]])
    found = reliability(np.array([0, 1, 0]), probabilities)
    assert found.count.tolist() == [2, 1]
    assert found.correct.tolist() == [0.5, 1.0]
    assert found.confidence == pytest.approx([0.535, 1.0])


def test_mutual_information_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import normalized_mutual_info_score

    random = np.random.default_rng(0)
    labels, said = random.integers(4, size=60), random.integers(4, size=60)
    weights = random.integers(3, size=(2, 60)).astype(float)
    found = mutual_information(labels, np.eye(4)[said], weights)
    for one, weight in zip(found, weights.astype(int), strict=True):
        assert one == pytest.approx(normalized_mutual_info_score(labels.repeat(weight), said.repeat(weight)))
    assert mutual_information(labels, np.eye(4)[labels][:, [2, 0, 3, 1]]) == pytest.approx(1)  # whatever the names
    assert mutual_information(labels, np.eye(4)[np.zeros(60, int)]) == pytest.approx(0)
    assert mutual_information(labels * 0, np.eye(4)[np.zeros(60, int)]) == 0
