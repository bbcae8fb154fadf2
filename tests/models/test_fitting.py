from __future__ import annotations

import numpy as np
import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.dataset import Dataset
from fulgor.models.fitting import TrainingConfig
from fulgor.models.passes import Epoch
from fulgor.models.training import train


def test_the_same_seed_gives_the_same_model(dataset: Dataset) -> None:
    config = TrainingConfig(size=21, width=1, epochs=1, seed=7)
    one, other = train(dataset, config), train(dataset, config)
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name]), name
    different = train(dataset, TrainingConfig(size=21, width=1, epochs=1, seed=8))
    assert not torch.equal(different.network.join[0].weight, one.network.join[0].weight)


def test_training_stops_when_it_gets_no_better(dataset: Dataset) -> None:
    seen: list[Epoch] = []
    config = TrainingConfig(size=21, width=1, epochs=9, patience=1, rate=0.0, decay=0.0)
    model = train(dataset, config, seen.append)
    assert [epoch.best for epoch in seen] == [True, False]
    assert model.training["best_epoch"] == 1


def test_a_training_that_diverges_is_an_error(dataset: Dataset) -> None:
    spoiled = {**dataset.arrays, "features": dataset.arrays["features"] * np.float32(np.nan)}
    broken = Dataset(spoiled, dataset.labels, dataset.objects, dataset.classes)
    with pytest.raises(ModelError, match="diverged"):
        train(broken, TrainingConfig(size=21, width=1, epochs=1))
