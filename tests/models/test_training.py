from __future__ import annotations

import numpy as np
import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.dataset import Dataset
from fulgor.models.training import PARTS, Epoch, TrainedModel, TrainingConfig, train


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


def test_the_same_seed_gives_the_same_model(dataset: Dataset) -> None:
    config = TrainingConfig(size=21, width=1, epochs=1, seed=7)
    one, other = train(dataset, config), train(dataset, config)
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name]), name
    different = train(dataset, TrainingConfig(size=21, width=1, epochs=1, seed=8))
    assert not torch.equal(different.network.join.weight, one.network.join.weight)


def test_training_stops_when_it_gets_no_better(dataset: Dataset) -> None:
    seen: list[Epoch] = []
    config = TrainingConfig(size=21, width=1, epochs=9, patience=1, rate=0.0, decay=0.0)
    model = train(dataset, config, seen.append)
    assert [epoch.best for epoch in seen] == [True, False]
    assert model.training["best_epoch"] == 1


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


def test_a_training_that_diverges_is_an_error(dataset: Dataset) -> None:
    spoiled = {**dataset.arrays, "features": dataset.arrays["features"] * np.float32(np.nan)}
    broken = Dataset(spoiled, dataset.labels, dataset.objects, dataset.classes)
    with pytest.raises(ModelError, match="diverged"):
        train(broken, TrainingConfig(size=21, width=1, epochs=1))
