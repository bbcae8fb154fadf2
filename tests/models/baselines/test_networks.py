from __future__ import annotations

import pytest
import torch
from torch import nn

from fulgor.models.baselines.braai import Vgg6
from fulgor.models.baselines.course import AutoencoderGru, rebuilt_and_classified
from fulgor.models.baselines.deep_hits import DeepHits
from fulgor.models.baselines.recurrence import last_state
from fulgor.models.baselines.sequences import ConvLstm, TemporalStamps
from fulgor.models.baselines.vade import Vade


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def _weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_sizes_are_the_published_ones() -> None:
    assert _weights(DeepHits(23, 5).trunk) == 250_688
    assert _weights(Vgg6()) == 312_081


@pytest.mark.parametrize(
    "network", [AutoencoderGru(5), ConvLstm(5), TemporalStamps(23, 3), Vade(5)], ids=lambda one: type(one).__name__
)
def test_documented_sizes_are_the_real_ones(network: nn.Module) -> None:
    assert f"{_weights(network):,} weights" in (type(network).__doc__ or "")


def test_cyclic_pooling_is_invariant_under_quarter_turns_and_the_plain_net_is_not() -> None:
    stamps, features = torch.rand(3, 3, 21, 21), torch.rand(3, 23)
    for cyclic, same in ((True, True), (False, False)):
        network = DeepHits(23, 5, cyclic=cyclic).eval()
        turned = network(stamps.rot90(1, (2, 3)), features)
        assert torch.allclose(network(stamps, features), turned, atol=1e-6) is same


def test_braai_has_two_classes() -> None:
    logits = Vgg6().eval()(torch.rand(2, 3, 63, 63), torch.empty(2, 0))
    assert logits.shape == (2, 2)
    assert (logits[:, 0] == 0).all()


@pytest.mark.parametrize("cell", [nn.GRUCell(4, 6), nn.LSTMCell(4, 6)], ids=["gru", "lstm"])
def test_empty_places_leave_the_state(cell: nn.GRUCell | nn.LSTMCell) -> None:
    steps = torch.rand(2, 3, 4)
    padded = torch.cat([torch.rand(2, 2, 4), steps], dim=1)
    held = torch.tensor([[0.0, 0, 1, 1, 1]]).expand(2, 5)
    # Steps lie at other places in memory, which some processors' sums depend on.
    whole = last_state(cell, steps, torch.ones(2, 3))
    torch.testing.assert_close(last_state(cell, padded, held), whole, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(
        last_state(cell, steps.flip(1), torch.ones(2, 3)), last_state(cell, steps, torch.ones(2, 3))
    )


def test_the_autoencoder_rebuilds_whole_stamps_from_128_numbers() -> None:
    network, stamps = AutoencoderGru(5), torch.rand(2, 3, 63, 63)
    code = network.encoder(stamps)
    assert code.shape == (2, 128)
    assert network.decoder(code).shape == stamps.shape
    seen = (stamps, torch.rand(2, 32, 8), torch.ones(2, 32))
    rebuilt_and_classified(network, seen, torch.tensor([0, 4])).backward()
    assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in network.parameters())


def test_an_earlier_picture_is_read() -> None:
    images, steps, metadata = torch.rand(2, 5, 3, 21, 21), torch.rand(2, 5, 8), torch.rand(2, 23)
    held = torch.ones(2, 5)
    without = held.clone()
    without[:, 2] = 0
    for network in (ConvLstm(5).eval(), TemporalStamps(23, 5).eval()):
        both = [network(images, seen, steps, held, metadata) for seen in (held, without)]
        assert both[0].shape == (2, 5)
        assert not torch.allclose(both[0], both[1])
        changed = images.clone()
        changed[:, 2] = 0.5  # not seen, so not read
        assert torch.equal(network(changed, without, steps, held, metadata), both[1])
