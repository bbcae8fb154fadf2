from __future__ import annotations

import pytest
import torch

from fulgor.models.export import example
from fulgor.models.layout import HIDEABLE
from fulgor.models.objective import Batch, Corruption, Weights, corrupt, objective, soft_minimum
from fulgor.models.ztf import Architecture, ZtfNetwork

ARCHITECTURE = Architecture(features=7, size=31, steps=6)


@pytest.fixture
def batch() -> Batch:
    stamps, masks, sequence, present, features = example(ARCHITECTURE, 40)
    present[:] = 1
    return Batch(stamps, masks, sequence + 0.5, present, features, torch.arange(40) % 5)


def damage(batch: Batch, **how: float) -> tuple[Batch, torch.Tensor]:
    none = {"noise": 0.0, "stripe": 0.0, "hidden": 0.0, "forgotten": 0.0, "dropped": 0.0}
    return corrupt(batch, torch.zeros(7), Corruption(**{**none, **how}), torch.Generator().manual_seed(0))


def test_no_corruption_changes_nothing(batch: Batch) -> None:
    damaged, hidden = damage(batch)
    assert all(torch.equal(a, b) for a, b in zip(damaged, batch, strict=True))
    assert hidden.sum() == 0


def test_noise_stays_on_valid_pixels(batch: Batch) -> None:
    damaged, _ = damage(batch, noise=1.0)
    assert (damaged.stamps[batch.masks == 0] == 0).all()
    assert not torch.equal(damaged.stamps, batch.stamps)


def test_stripes_mask_an_edge_of_all_three_stamps(batch: Batch) -> None:
    damaged, _ = damage(batch, stripe=1.0)
    lost = (batch.masks > 0) & (damaged.masks == 0)
    assert (lost.flatten(1).any(1)).all()
    assert (damaged.stamps[damaged.masks == 0] == 0).all()
    assert damaged.masks[:, :, 22:, 22:].equal(batch.masks[:, :, 22:, 22:])


def test_hidden_steps_keep_time_and_band_only(batch: Batch) -> None:
    damaged, hidden = damage(batch, hidden=0.5)
    assert hidden[:, -1].sum() == 0
    assert 0.3 < hidden[:, :-1].mean() < 0.7
    assert (damaged.sequence[hidden > 0][:, HIDEABLE] == 0).all()
    assert torch.equal(damaged.sequence[:, :, :4], batch.sequence[:, :, :4])
    assert torch.equal(damaged.sequence[hidden == 0], batch.sequence[hidden == 0])


def test_a_forgotten_history_looks_like_a_first_alert(batch: Batch) -> None:
    damaged, hidden = damage(batch, forgotten=1.0)
    assert damaged.sequence_mask.sum(1).tolist() == [1.0] * 40
    assert damaged.sequence[:, :-1].abs().sum() == 0
    assert damaged.sequence[:, -1, 1].abs().sum() == 0
    assert hidden[:, :-1].min() == 1


def test_dropped_features_take_the_mean(batch: Batch) -> None:
    damaged, _ = damage(batch, dropped=1.0)
    assert (damaged.features == 0).all()


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
    model = ZtfNetwork(ARCHITECTURE)
    plain, rewarded = (
        objective(model, batch, batch, torch.zeros(40, 6), torch.ones(5), Weights(entropy=e), 0.0) for e in (0.0, 0.5)
    )
    assert rewarded < plain
