"""A model tuned on, and the comparison with the one it came from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fulgor.models import retraining
from fulgor.models.card import read_card
from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.division import divide
from fulgor.models.fitting import TrainingConfig
from fulgor.models.retraining import compare, retrain
from fulgor.models.training import TrainedModel
from fulgor.models.ztf import ZtfNetwork


def test_a_model_gains_nothing_on_itself(dataset: Dataset, trained: TrainedModel):
    found = compare(dataset, np.arange(len(dataset)), trained.network, trained.network)
    assert (found.gain.value, found.gain.is_gain) == (0.0, False)
    assert found.alerts == int((dataset.labels != UNLABELLED).sum())


def test_tuning_goes_on_from_the_base_and_leaves_it_alone(dataset: Dataset, trained: TrainedModel, folder: Path):
    card = read_card(folder)
    before = {name: value.clone() for name, value in trained.network.state_dict().items()}
    model, held_out = retrain(dataset, divide(dataset, card), trained.network, TrainingConfig(epochs=2, rate=1e-3))
    assert all(torch.equal(value, before[name]) for name, value in trained.network.state_dict().items())
    assert (model.split["seed"], model.training["size"]) == (card["split"]["seed"], 31)
    assert held_out.candidate.value > held_out.live.value - 0.1
    assert model.metrics["against_live"]["gain"] == held_out.gain
    assert held_out.objects <= held_out.alerts == model.metrics["alerts"]


def test_a_model_of_stored_history_stays_one(
    linked: Dataset, network: ZtfNetwork, remembering: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retraining, "LOOKING_BACK", replace(retraining.LOOKING_BACK, steps=3, count=1))
    division = divide(linked, read_card(remembering))
    model, held_out = retrain(linked, division, network, TrainingConfig(epochs=1, rate=1e-3))
    assert model.network.architecture == network.architecture
    assert model.training["history"]["steps"] == 3
    assert held_out.alerts == model.metrics["alerts"]
    encoder = {name for name, value in model.network.encoder.state_dict().items() if value.is_floating_point()}
    assert any(
        not torch.equal(model.network.encoder.state_dict()[name], network.encoder.state_dict()[name])
        for name in encoder
    )
