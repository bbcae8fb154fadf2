"""Weights that make classes alike, and the temperature that makes probabilities true."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fulgor.models.calibration import best_temperature, class_balance
from fulgor.models.dataset import UNLABELLED, Dataset


def test_the_balance_makes_all_classes_weigh_alike(dataset: Dataset) -> None:
    index = np.flatnonzero(dataset.labels != 2)[:150]
    labels = dataset.labels[index]
    counts = np.bincount(labels[labels != UNLABELLED], minlength=5)
    total = class_balance(dataset, index).numpy() * counts
    assert total[2] == 0
    np.testing.assert_allclose(total[[0, 1, 3, 4]], total[0], rtol=1e-6)


def test_the_temperature_undoes_what_made_logits_too_sure() -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 3, generator=random)
    labels = torch.multinomial(torch.softmax(logits, 1), 1, generator=random).squeeze(1)
    assert best_temperature(4.0 * logits, labels, torch.ones(3)) == pytest.approx(4.0, rel=0.15)
