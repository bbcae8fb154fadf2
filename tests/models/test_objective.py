from __future__ import annotations

import pytest
import torch

from fulgor.models.batches import Batch
from fulgor.models.export import example
from fulgor.models.objective import Weights, objective, soft_minimum
from fulgor.models.ztf import Architecture, ZtfNetwork

ARCHITECTURE = Architecture(features=7, size=31, steps=6)


@pytest.fixture
def batch() -> Batch:
    stamps, masks, sequence, present, features = example(ARCHITECTURE, 40)
    present[:] = 1
    return Batch(stamps, masks, sequence + 0.5, present, features, torch.arange(40) % 5)


def test_soft_minimum_hardens() -> None:
    errors = torch.tensor([[1.0, 2, 3, 4, 5, 6, 7, 8]])
    soft, harder, hard = (float(soft_minimum(errors, s)) for s in (3.0, 0.01, 0.0))
    assert hard == 1.0
    assert harder == pytest.approx(1.0, abs=0.1)
    assert 1.0 < soft < 4.5


def test_one_class_or_none_still_trains(batch: Batch) -> None:
    torch.manual_seed(0)
    model = ZtfNetwork(ARCHITECTURE)
    unlabelled = batch._replace(labels=torch.full((40,), -1))
    loss = objective(model, unlabelled, unlabelled, torch.zeros(40, 6), torch.ones(5), Weights(), 0.3)
    loss.backward()
    assert torch.isfinite(loss)
    assert model.encoder.project.weight.grad.abs().sum() > 0
    assert model.classifier.weight.grad.abs().sum() == 0


def test_entropy_is_rewarded(batch: Batch) -> None:
    torch.manual_seed(0)
    model = ZtfNetwork(ARCHITECTURE).eval()
    plain, rewarded = (
        objective(model, batch, batch, torch.zeros(40, 6), torch.ones(5), Weights(entropy=e), 0.0) for e in (0.0, 0.5)
    )
    assert rewarded < plain
