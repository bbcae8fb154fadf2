from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.dataset import Dataset
from fulgor.models.finetuning import TuningConfig
from fulgor.models.fitting import TrainingConfig
from fulgor.models.passes import Epoch
from fulgor.models.training import PARTS, TrainedModel, train


def test_it_learns_and_says_so(trained: TrainedModel) -> None:
    assert trained.metrics["accuracy"] > 0.5  # five classes
    assert trained.training["epochs_run"] == 2
    assert 0.05 < float(trained.network.temperature) < 20
    assert trained.reference.size == sum(trained.split["parts"]["reference"].values())


def test_features_are_told_by_their_place_in_the_training_part(trained: TrainedModel, dataset: Dataset) -> None:
    index = dataset.split(PARTS, 3)["train"]
    features = dataset.arrays["features"][index]
    np.testing.assert_allclose(trained.network.metadata.edges[:, 0], features.min(0), rtol=1e-6)
    np.testing.assert_allclose(trained.network.metadata.edges[:, -1], features.max(0), rtol=1e-6)


def test_an_interrupted_training_goes_on_as_if_nothing_had_been(dataset: Dataset, tmp_path: Path) -> None:
    config = TrainingConfig(size=21, width=1, epochs=2, seed=4)

    def stop(epoch: Epoch) -> None:
        if epoch.number == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(dataset, config, stop, folder=tmp_path)
    seen: list[int] = []
    resumed = train(dataset, config, lambda epoch: seen.append(epoch.number), folder=tmp_path)
    straight = train(dataset, config)
    assert seen == [1, 2]
    for name, value in straight.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    assert (tmp_path / "curves.csv").read_text().splitlines()[0] == "epoch,training_loss,validation_loss"
    with pytest.raises(ModelError, match="belongs to another training: its preparation differ"):
        train(dataset, config, folder=tmp_path, preparation="other")


def test_looking_back_is_learnt_after_the_encoder(linked: Dataset, tmp_path: Path) -> None:
    config = TrainingConfig(size=21, width=1, epochs=1, seed=4)
    plain = train(linked, config, folder=tmp_path)
    passes: list[int] = []
    history = TuningConfig(steps=3, count=1)
    model = train(linked, config, lambda epoch: passes.append(epoch.number), folder=tmp_path, history=history)
    assert passes == [1]  # told of the checkpoint's, not run again
    assert model.network.architecture == replace(plain.network.architecture, history_stamps=True)
    assert model.training["history"]["steps"] == 3
    for name, value in plain.network.encoder.state_dict().items():
        assert torch.equal(value, model.network.encoder.state_dict()[name]), name
    assert model.metrics["alerts"] == plain.metrics["alerts"]


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
