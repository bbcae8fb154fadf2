from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fulgor.errors import ModelError
from fulgor.models.symmetry import (
    ORDER,
    GroupConv,
    LiftingConv,
    act,
    compose,
    expand,
    group_pool,
    inverse,
    orbit_index,
    output_size,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_elements_compose_as_they_act() -> None:
    x = torch.randn(5, 5)
    for first in range(ORDER):
        for second in range(ORDER):
            assert torch.equal(act(act(x, second), first), act(x, compose(first, second)))


def test_inverse_undoes() -> None:
    for element in range(ORDER):
        assert compose(inverse(element), element) == compose(element, inverse(element)) == 0


def test_the_eight_orientations_differ() -> None:
    x = torch.randn(3, 3)
    orbit = [act(x, element) for element in range(ORDER)]
    assert not any(torch.equal(orbit[a], orbit[b]) for a in range(ORDER) for b in range(a))


def test_orbit_index_acts() -> None:
    x = torch.randn(7, 7)
    for element, index in enumerate(orbit_index(7)):
        assert torch.equal(x.flatten()[index].reshape(7, 7), act(x, element))


def test_lifting_turns_and_permutes() -> None:
    layer = LiftingConv("lift", 2, 3, 3, 2)
    x = torch.randn(4, 2, 15, 15)
    fields = layer(x).unflatten(1, (3, ORDER))
    for element in range(ORDER):
        turned = layer(act(x, element)).unflatten(1, (3, ORDER))
        for channel in range(ORDER):
            expected = act(fields[:, :, compose(inverse(element), channel)], element)
            torch.testing.assert_close(turned[:, :, channel], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"), [(15, 3, 2, 0), (8, 2, 2, 0), (9, 3, 1, 1), (7, 3, 2, 1)]
)
def test_pooled_group_convolutions_are_invariant(size: int, kernel: int, stride: int, padding: int) -> None:
    lift, group = LiftingConv("lift", 1, 2, 3, 1, 1), GroupConv("group", 2, 4, kernel, stride, padding)
    x = torch.randn(3, 1, size, size)

    def pooled(x: torch.Tensor) -> torch.Tensor:
        return group_pool(group(lift(x).relu()).relu().mean((2, 3), keepdim=True))

    for element in range(ORDER):
        torch.testing.assert_close(pooled(act(x, element)), pooled(x), rtol=1e-5, atol=1e-6)


def test_a_layer_that_breaks_the_size_rule_is_refused_by_name() -> None:
    layer = GroupConv("third", 1, 1, 3, 2)
    with pytest.raises(ModelError, match=r"layer third: input size 20 .* stride 2 .* = 17"):
        layer.output_size(20)
    with pytest.raises(ModelError, match="layer third"):
        layer(torch.zeros(1, ORDER, 20, 20))
    with pytest.raises(ModelError, match="layer small"):
        output_size("small", 2, 3, 1)


@torch.no_grad()
@pytest.mark.parametrize(("size", "kept"), [(21, True), (20, False)])
def test_the_size_rule_is_what_keeps_the_invariance(size: int, kept: bool) -> None:
    """The same kernels, run past the check: exact on 21 px, far from it on 20."""
    layer = LiftingConv("lift", 1, 8, 3, 2)
    x = torch.randn(4, 1, size, size)

    def pooled(x: torch.Tensor) -> torch.Tensor:
        maps = F.conv2d(x, layer.expanded_weight(), layer.expanded_bias(), stride=2).relu()
        return group_pool(maps.mean((2, 3), keepdim=True))

    latent = pooled(x)
    worst = max(float((pooled(act(x, e)) - latent).abs().max() / latent.norm(dim=1).min()) for e in range(ORDER))
    assert (worst <= 1e-6) is kept
    if not kept:
        assert worst > 1e-3


def test_a_stamp_that_is_not_square_is_refused() -> None:
    with pytest.raises(ModelError, match="31x29 is not square"):
        LiftingConv("lift", 1, 1, 3, 2)(torch.zeros(1, 1, 31, 29))


def test_expanded_layers_equal_the_tied_ones() -> None:
    tied = torch.nn.Sequential(LiftingConv("lift", 2, 2, 3, 2), torch.nn.ReLU(), GroupConv("group", 2, 3, 3, 2))
    torch.nn.init.normal_(tied[0].bias)
    x = torch.randn(2, 2, 15, 15)
    before = tied(x)
    expand(tied)
    assert [type(layer).__name__ for layer in tied] == ["Conv2d", "ReLU", "Conv2d"]
    torch.testing.assert_close(tied(x), before)


def test_only_an_eighth_of_the_weights_is_free() -> None:
    layer = GroupConv("group", 4, 8, 3)
    assert sum(p.numel() for p in layer.plain().parameters()) == ORDER * sum(p.numel() for p in layer.parameters())
