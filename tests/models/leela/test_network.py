"""The network: absent pulses and company in a batch change nothing; pulses of a chunk know each other."""

from __future__ import annotations

import pytest
import torch

from fulgor.models.leela.export import example
from fulgor.models.leela.layout import LOG_SNR
from fulgor.models.leela.network import Architecture, LeelaNetwork, flank_noise
from fulgor.models.leela.training import contrast, second_view


@pytest.fixture(scope="module")
def network() -> LeelaNetwork:
    torch.manual_seed(0)
    return LeelaNetwork(Architecture()).eval().requires_grad_(False)


def test_a_chunk_alone_is_what_it_is_in_company(network):
    windows, scalars, place = example(5)
    together = network(windows, scalars, place)
    row = 3
    own = place[row][place[row] >= 0]
    alone = network(windows[own], scalars[[row]], torch.where(place[[row]] >= 0, place[[row]] - own[0], -1))
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one[row, : len(own)], other[0, : len(own)], rtol=1e-4, atol=1e-5)


def test_recurrence_runs_both_ways(network):
    windows, scalars, place = example(3)
    before = network(windows, scalars, place).latent[2]
    changed = windows.clone()
    changed[place[2, 1]] *= -30
    after = network(changed, scalars, place).latent[2]
    assert (before[0] - after[0]).abs().max() > 1e-5
    assert (before[2] - after[2]).abs().max() > 1e-5


def test_polarity_is_not_lost(network):
    windows, _, _ = example(2)
    flipped = windows * torch.tensor([-1.0, 1.0])[:, None]
    assert (network.encode(windows) - network.encode(flipped)).abs().max() > 1e-3


def test_a_second_view_is_near_the_first_where_the_signal_is_strong():
    windows, _, _ = example(4)
    random = torch.Generator().manual_seed(1)
    views = torch.stack([second_view(windows, torch.full((len(windows),), 6.0), random) for _ in range(20)])
    assert views.shape == (20, *windows.shape)
    same = (views - windows).abs().amax(dim=(2, 3)) < 0.02
    assert same.any()
    assert not same.all()


def test_contrast_is_least_for_equal_views():
    codes = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    assert contrast(codes, codes, 0.2) < contrast(codes, codes.roll(1, 0), 0.2)


def test_the_flanks_tell_the_noise_of_a_window():
    random = torch.Generator().manual_seed(2)
    windows = torch.ones(40, 2, 256)
    windows[:, 0] = 0.1 * torch.randn(40, 256, generator=random)
    windows[:, 0, 96:160] += 1.0  # a pulse in the middle is none of the noise
    assert flank_noise(windows).mean() == pytest.approx(0.1, rel=0.1)
    cut = windows.clone()
    cut[:, :, :64] = 0.0
    assert flank_noise(cut).mean() == pytest.approx(0.1, rel=0.15)
    cut[:, :, -64:] = 0.0
    assert (flank_noise(cut) == 0).all()


def test_the_score_of_a_pulse_does_not_depend_on_what_the_chunk_knows_of_its_noise(network):
    windows, scalars, place = example(4)
    other = scalars.clone()
    other[..., LOG_SNR] += 0.3
    assert torch.equal(network(windows, scalars, place).scores[..., 0], network(windows, other, place).scores[..., 0])
