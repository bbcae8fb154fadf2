from __future__ import annotations

import torch

from fulgor.models.baselines.braai import Vgg6
from fulgor.models.baselines.deep_hits import DeepHits


def _weights(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_sizes_are_the_published_ones() -> None:
    assert _weights(DeepHits(23, 5).trunk) == 250_688
    assert _weights(Vgg6()) == 312_081


def test_cyclic_pooling_is_invariant_under_quarter_turns_and_the_plain_net_is_not() -> None:
    torch.manual_seed(0)
    stamps, features = torch.rand(3, 3, 21, 21), torch.rand(3, 23)
    for cyclic, same in ((True, True), (False, False)):
        network = DeepHits(23, 5, cyclic=cyclic).eval()
        turned = network(stamps.rot90(1, (2, 3)), features)
        assert torch.allclose(network(stamps, features), turned, atol=1e-6) is same


def test_braai_has_two_classes() -> None:
    logits = Vgg6().eval()(torch.rand(2, 3, 63, 63), torch.empty(2, 0))
    assert logits.shape == (2, 2)
    assert (logits[:, 0] == 0).all()
