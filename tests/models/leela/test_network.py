"""The network: absent pulses and company in a batch change nothing; pulses of a chunk know each other."""

from __future__ import annotations

import pytest
import torch

from fulgor.models.leela.export import example
from fulgor.models.leela.layout import COMBINED, LOG_AMPLITUDE, LOG_SNR, SCORES
from fulgor.models.leela.network import LOUDEST, Architecture, LeelaNetwork, flank_noise


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


def test_scores_of_the_window_alone_do_not_depend_on_what_the_chunk_knows_of_its_noise(network):
    windows, scalars, place = example(4)
    other = scalars.clone()
    other[..., LOG_SNR] += 0.3
    one, changed = (network(windows, each, place).scores for each in (scalars, other))
    for score in COMBINED:
        assert torch.equal(one[..., SCORES.index(score)], changed[..., SCORES.index(score)])


def test_what_fills_a_window_is_not_excused_as_its_noise(network):
    windows = torch.ones(1, 2, 256)
    windows[:, 0] = torch.sin(torch.arange(256) * 1.1)
    codes = network.encode(windows)
    noise = flank_noise(windows)
    assert noise > 2 * LOUDEST
    bounded = network.reconstruction(codes, windows, noise)
    assert torch.equal(bounded, torch.log(network.misfit(codes, windows, torch.full((1,), LOUDEST))))
    assert bounded > torch.log(network.misfit(codes, windows, noise))
    quiet = 0.1 * noise
    assert torch.equal(network.reconstruction(codes, windows, quiet), torch.log(network.misfit(codes, windows, quiet)))


def test_a_card_without_a_bound_of_the_noise_describes_a_model_that_has_none():
    card = Architecture().to_card()
    assert Architecture.from_card(card) == Architecture()
    del card["loudest"]
    assert Architecture.from_card(card).loudest is None


def test_the_noise_of_a_window_is_told_in_counts(network):
    windows, scalars, place = example(2)
    scalars[..., LOG_AMPLITUDE] = 3.0
    found = network(windows, scalars, place).scores[0, 0, SCORES.index("noise")]
    assert found.exp() == pytest.approx(float(flank_noise(windows[:1])) * torch.tensor(3.0).exp().item(), rel=1e-5)
