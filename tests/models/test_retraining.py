"""A model tuned on, and the comparison with the one it came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.card import read_card
from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.fitting import TrainingConfig
from fulgor.models.retraining import FEWEST, compare, divide, retrain
from fulgor.models.training import PARTS, TrainedModel


def test_what_is_compared_on_was_held_out_by_the_first_training(dataset: Dataset, folder: Path):
    card = read_card(folder)
    parts = divide(dataset, card)
    earlier = dataset.split(PARTS, card["split"]["seed"])
    seen = set(dataset.objects[np.concatenate([earlier["train"], earlier["validation"]])].tolist())
    assert not seen & set(dataset.objects[parts["test"]].tolist())
    assert sum(map(len, parts.values())) == len(dataset)


def test_listed_objects_are_trained_on_and_never_compared_on(dataset: Dataset, folder: Path):
    card = read_card(folder)
    chosen = dataset.objects[divide(dataset, card)["test"][0]]
    card["data"]["used"] = [{"candid": "1", "object": str(chosen), "label": "SN", "origin": "x"}]
    parts = divide(dataset, card)
    assert chosen not in dataset.objects[parts["test"]]
    assert chosen in dataset.objects[parts["train"]]
    assert len(np.unique(np.concatenate(list(parts.values())))) == len(dataset)


def test_nothing_left_to_compare_on_is_an_error(dataset: Dataset, folder: Path):
    card = read_card(folder)
    card["data"]["used"] = [{"object": name} for name in np.unique(dataset.objects).tolist()]
    with pytest.raises(ModelError, match=f"needs {FEWEST}: take more or newer alerts"):
        divide(dataset, card)
    with pytest.raises(ModelError, match="does not say how its objects were divided"):
        divide(dataset, card | {"split": {}})


def test_a_model_gains_nothing_on_itself(dataset: Dataset, trained: TrainedModel):
    found = compare(dataset, np.arange(len(dataset)), trained.network, trained.network)
    assert (found.gain.value, found.gain.is_gain) == (0.0, False)
    assert found.alerts == int((dataset.labels != UNLABELLED).sum())


def test_tuning_goes_on_from_the_base_and_leaves_it_alone(dataset: Dataset, trained: TrainedModel, folder: Path):
    card = read_card(folder)
    before = {name: value.clone() for name, value in trained.network.state_dict().items()}
    model, held_out = retrain(dataset, trained.network, card, TrainingConfig(epochs=2, rate=1e-3))
    assert all(torch.equal(value, before[name]) for name, value in trained.network.state_dict().items())
    assert (model.split["seed"], model.training["size"]) == (card["split"]["seed"], 31)
    assert held_out.candidate.value > held_out.live.value - 0.1
    assert model.metrics["against_live"]["gain"] == held_out.gain
    assert held_out.objects <= held_out.alerts == model.metrics["alerts"]
