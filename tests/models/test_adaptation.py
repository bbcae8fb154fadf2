from __future__ import annotations

import numpy as np

from fulgor.models.adaptation import FineTuning, calibrated, tuned_model
from fulgor.models.dataset import Dataset
from fulgor.models.evaluation.metrics import accuracy, calibration_error
from fulgor.models.evaluation.result import Evaluation
from fulgor.models.finetuning import TuningConfig
from fulgor.models.training import TrainedModel


def test_the_model_is_tuned_on_all_labels_and_knows_its_temperature(trained: TrainedModel, dataset: Dataset) -> None:
    real, rest = dataset.part(np.arange(200)), dataset.part(np.arange(200, 400))
    method = FineTuning(trained.network, rest, rest, TuningConfig(steps=5, count=1))
    model = tuned_model(method, real, rest, {"accuracy": 0.5}, 1.5)
    assert float(model.network.temperature) == 1.5
    assert model.metrics == {"accuracy": 0.5}
    assert model.split["parts"]["train"] == real.counts(np.arange(200))
    assert model.reference.size == 200


def test_overconfident_probabilities_are_cooled_fold_by_fold() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 900)
    logits = random.normal(0, 1, (900, 3))
    logits[np.arange(900), labels] += 1.0
    bold = np.exp(4 * logits) / np.exp(4 * logits).sum(1, keepdims=True)
    names = np.array([str(n) for n in range(900)])
    found = Evaluation("bold", ("a", "b", "c"), names, names, labels, np.arange(900) % 5, bold)
    better, temperature = calibrated(found)
    assert 3 < temperature < 6
    assert accuracy(labels, better.probabilities) == accuracy(labels, bold)
    assert calibration_error(labels, better.probabilities) < calibration_error(labels, bold) / 2
    np.testing.assert_allclose(better.probabilities.sum(1), 1)
