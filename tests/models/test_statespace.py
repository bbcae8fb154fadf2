from __future__ import annotations

import math

import pytest
import torch

from fulgor.models.layout import SINCE_PREVIOUS
from fulgor.models.statespace import DiagonalSSM


@pytest.fixture
def cell() -> DiagonalSSM:
    torch.manual_seed(0)
    return DiagonalSSM(8, 4, 16).requires_grad_(False)


def packet(steps: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return 5 * torch.rand(2, steps, 8), torch.ones(2, steps), torch.randn(2, steps, 4)


def test_the_closed_form_equals_the_recurrence(cell: DiagonalSSM) -> None:
    sequence, mask, slots = packet(12)
    gains, state = cell.gains(sequence, slots), torch.zeros(2, 16)
    for number in range(12):
        days = torch.expm1(sequence[:, number, SINCE_PREVIOUS])
        state = torch.exp(-days[:, None] / cell.log_tau.exp()) * state + gains[:, number]
    assert float(state.abs().max()) > 0.1
    torch.testing.assert_close(cell(sequence, mask, slots), state, rtol=1e-5, atol=1e-6)


def test_padding_at_the_front_changes_nothing(cell: DiagonalSSM) -> None:
    sequence, mask, slots = packet(5)
    zeros = torch.zeros(2, 7, 8)
    longer = cell(
        torch.cat([zeros, sequence], dim=1),
        torch.cat([zeros[:, :, 0], mask], dim=1),
        torch.cat([torch.randn(2, 7, 4), slots], dim=1),
    )
    torch.testing.assert_close(longer, cell(sequence, mask, slots))


def test_a_long_gap_forgets_the_past_and_no_gap_keeps_it(cell: DiagonalSSM) -> None:
    sequence, mask, slots = packet(4)
    alone = mask.clone()
    alone[:, :-1] = 0
    sequence[:, -1, SINCE_PREVIOUS] = math.log1p(1e6)
    torch.testing.assert_close(cell(sequence, mask, slots), cell(sequence, alone, slots), rtol=1e-4, atol=1e-5)
    sequence[:, -1, SINCE_PREVIOUS] = 0
    assert not torch.allclose(cell(sequence, mask, slots), cell(sequence, alone, slots), atol=1e-2)
