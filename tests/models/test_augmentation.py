from __future__ import annotations

import pytest
import torch

from fulgor.models.augmentation import Augmentation, corrupt, turn
from fulgor.models.batches import Batch
from fulgor.models.export import example
from fulgor.models.layout import HIDEABLE
from fulgor.models.ztf import Architecture

NONE = dict.fromkeys(("turned", "noise", "stripe", "patch", "blind", "hidden", "forgotten", "swapped"), 0.0)


@pytest.fixture
def batch() -> Batch:
    stamps, masks, sequence, present, features = example(Architecture(features=7, size=31, steps=6), 40)
    present[:] = 1
    return Batch(stamps, masks, sequence + 0.5, present, features, torch.arange(40) % 5)


def damage(batch: Batch, **how: float) -> tuple[Batch, torch.Tensor]:
    return corrupt(batch, Augmentation(**{**NONE, **how}), torch.Generator().manual_seed(0))


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


def test_swapped_features_are_those_of_other_alerts(batch: Batch) -> None:
    damaged, _ = damage(batch, swapped=1.0)
    assert not torch.equal(damaged.features, batch.features)
    assert torch.equal(damaged.features.sort(0).values, batch.features.sort(0).values)


def test_a_patch_masks_a_rectangle_but_not_the_centre(batch: Batch) -> None:
    damaged, _ = damage(batch, patch=1.0)
    lost = batch.masks - damaged.masks
    assert lost.amax(1).sum((1, 2)).gt(0).float().mean() > 0.8
    assert lost[:, :, 31, 31].sum() == 0


def test_a_blind_alert_keeps_no_pixel(batch: Batch) -> None:
    damaged, _ = damage(batch, blind=1.0)
    assert damaged.masks.sum() == 0
    assert damaged.stamps.abs().sum() == 0


def turned(batch: Batch, **how: float) -> Batch:
    return turn(batch, Augmentation(**{**NONE, **how}), torch.Generator().manual_seed(1))


def test_turning_keeps_the_middle_and_masks_what_comes_from_outside(batch: Batch) -> None:
    axis = torch.arange(63.0) - 31
    bump = torch.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 50).expand(40, 3, -1, -1)
    round_ = batch._replace(stamps=bump.clone(), masks=torch.ones(40, 3, 63, 63))
    found = turned(round_, turned=1.0, shift=0.0)
    assert ((found.stamps - bump) * found.masks).abs().max() < 0.02
    assert 0.7 < found.masks.mean() < 0.99
    assert found.masks[:, :, 20:43, 20:43].min() == 1
    assert (found.stamps[found.masks == 0] == 0).all()


def test_a_shift_moves_the_source_by_a_pixel_at_most(batch: Batch) -> None:
    point = torch.zeros(40, 3, 63, 63)
    point[:, :, 31, 31] = 1.0
    found = turned(batch._replace(stamps=point, masks=torch.ones_like(point)), turned=1.0, shift=1.0).stamps
    axis = torch.arange(63.0) - 31
    light = found.sum((2, 3)).clamp(min=1e-6)
    column = (found * axis).sum((2, 3)) / light
    assert 0.3 < column.abs().max() < 1.5


def test_what_is_not_chosen_is_not_turned(batch: Batch) -> None:
    assert turned(batch, turned=0.0) is batch
