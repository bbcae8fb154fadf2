from __future__ import annotations

import math

import pytest
import torch

from fulgor.models.layout import SINCE_PREVIOUS
from fulgor.models.recurrent import DecayGRU


@pytest.fixture
def cell() -> DecayGRU:
    torch.manual_seed(0)
    return DecayGRU(8, 4, 16).requires_grad_(False)


def packet(steps: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.rand(2, steps, 8), torch.ones(2, steps), torch.randn(2, steps, 4)


def padded(x: torch.Tensor, by: int) -> torch.Tensor:
    return torch.cat([torch.zeros(x.shape[0], by, *x.shape[2:]), x], dim=1)


def test_padding_at_the_front_changes_nothing(cell: DecayGRU) -> None:
    sequence, mask, slots = packet(5)
    noisy = torch.cat([torch.randn(2, 7, 4), slots], dim=1)
    torch.testing.assert_close(cell(padded(sequence, 7), padded(mask, 7), noisy), cell(sequence, mask, slots))


def test_step_by_step_equals_the_whole(cell: DecayGRU) -> None:
    sequence, mask, slots = packet(6)
    gates, new = torch.split(cell.read(torch.cat([sequence, slots], dim=2)), [32, 16], dim=2)
    state = torch.zeros(2, 16)
    for number in range(6):
        fade = torch.exp(-torch.expm1(sequence[:, number, SINCE_PREVIOUS : SINCE_PREVIOUS + 1]) / cell.log_tau.exp())
        state = cell.step(gates[:, number], new[:, number], fade * state)
    torch.testing.assert_close(state, cell(sequence, mask, slots), rtol=1e-5, atol=1e-6)


def test_a_long_gap_forgets_the_past(cell: DecayGRU) -> None:
    sequence, mask, slots = packet(4)
    sequence[:, -1, SINCE_PREVIOUS] = math.log1p(1e6)
    after_gap = cell(sequence, mask, slots)
    mask[:, :-1] = 0
    torch.testing.assert_close(after_gap, cell(sequence, mask, slots), rtol=1e-4, atol=1e-5)


def test_without_a_gap_the_past_counts(cell: DecayGRU) -> None:
    sequence, mask, slots = packet(4)
    sequence[:, :, SINCE_PREVIOUS] = 0
    remembered = cell(sequence, mask, slots)
    mask[:, :-1] = 0
    assert not torch.allclose(remembered, cell(sequence, mask, slots), atol=1e-2)


def test_decay_has_the_learned_time_scale(cell: DecayGRU) -> None:
    sequence, mask = torch.zeros(1, 2, 8), torch.ones(1, 2)
    sequence[0, 1, SINCE_PREVIOUS] = math.log1p(10.0)
    left = cell.remaining(sequence, mask)[0]
    torch.testing.assert_close(left[1], torch.exp(-10.0 / cell.log_tau.exp()), rtol=1e-4, atol=1e-6)
    assert torch.equal(left[0], torch.zeros(16))


def test_only_the_last_step_knows_its_stamps(cell: DecayGRU) -> None:
    cell.absent.copy_(torch.arange(4.0))
    slots = cell.slots(torch.full((2, 4), 9.0), 3)
    assert torch.equal(slots[:, :2], torch.arange(4.0).expand(2, 2, 4))
    assert torch.equal(slots[:, 2], torch.full((2, 4), 9.0))
