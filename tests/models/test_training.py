from __future__ import annotations

import numpy as np
import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.dataset import Dataset
from fulgor.models.fitting import TrainingConfig
from fulgor.models.training import PARTS, TrainedModel, train


def test_it_learns_and_says_so(trained: TrainedModel) -> None:
    assert trained.metrics["accuracy"] > 0.5  # five classes
    assert trained.training["epochs_run"] == 2
    assert 0.05 < float(trained.network.temperature) < 20
    assert trained.reference.size == sum(trained.split["parts"]["reference"].values())


def test_features_are_standardised_by_the_training_part(trained: TrainedModel, dataset: Dataset) -> None:
    index = dataset.split(PARTS, 3)["train"]
    scaled = trained.network.standardised(torch.from_numpy(dataset.arrays["features"][index]))
    assert scaled.mean(0).abs().max() < 0.01
    assert scaled.std(0).sub(1).abs().max() < 0.02


def test_too_little_data_is_an_error(dataset: Dataset) -> None:
    few = np.arange(3)
    small = Dataset(
        {name: array[few] for name, array in dataset.arrays.items()},
        dataset.labels[few],
        dataset.objects[few],
        dataset.classes,
    )
    with pytest.raises(ModelError, match=r"3 alerts leave nothing for .*; take a larger archive"):
        train(small, TrainingConfig(epochs=1))
