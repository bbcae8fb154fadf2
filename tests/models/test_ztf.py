from __future__ import annotations

import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.export import example
from fulgor.models.symmetry import ORDER, act
from fulgor.models.ztf import Architecture, ZtfNetwork

ALLOWED = 1e-6


def network(size: int) -> ZtfNetwork:
    torch.manual_seed(size)
    return ZtfNetwork(Architecture(features=7, size=size)).eval().requires_grad_(False)


@pytest.mark.parametrize("size", [63, 31, 21])
@pytest.mark.parametrize("expanded", [False, True])
def test_no_orientation_changes_either_latent(size: int, expanded: bool) -> None:
    model = network(size).expanded() if expanded else network(size)
    stamps, masks, *rest = example(model.architecture, 16)
    whole = model(stamps, masks, *rest)
    for element in range(ORDER):
        turned = model(act(stamps, element), act(masks, element), *rest)
        for before, after in ((whole.latent, turned.latent), (whole.stamp_latent, turned.stamp_latent)):
            worst = ((after - before).abs().amax(1) / before.norm(dim=1)).max()
            assert float(worst) <= ALLOWED, f"element {element}"
        torch.testing.assert_close(turned.probabilities, whole.probabilities, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(turned.scores, whole.scores, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_a_shift_does_change_the_latent() -> None:
    """The invariance is of the square's symmetries, not blindness."""
    model = network(63)
    stamps, masks, *rest = example(model.architecture, 4)
    moved = model(stamps.roll(5, dims=3), masks.roll(5, dims=3), *rest)
    before = model(stamps, masks, *rest).stamp_latent
    assert ((moved.stamp_latent - before).norm(dim=1) / before.norm(dim=1)).min() > 1e-3


def test_outputs_and_the_scores_that_cannot_be_had() -> None:
    model = network(31)
    stamps, masks, sequence, present, features = example(model.architecture, 3)
    masks[0] = 0
    stamps = stamps * masks
    present[1, :-1] = 0
    sequence = sequence * present.unsqueeze(2)
    present[2], sequence[2, :, 6] = 1, 1
    out = model(stamps, masks, sequence, present, features)
    assert out.latent.shape == out.stamp_latent.shape == (3, 64)
    torch.testing.assert_close(out.probabilities.sum(1), torch.ones(3))
    assert out.scores[0, 0].isnan()
    assert out.scores[1, 1].isnan()
    assert torch.isfinite(out.scores[2]).all()
    assert torch.isfinite(out.scores[:, 2]).all()


def test_what_is_ignored_tells_nothing() -> None:
    torch.manual_seed(0)
    model = ZtfNetwork(Architecture(features=7, size=31, ignored=(3,))).eval()
    *rest, features = example(model.architecture, 4)
    other = features.clone()
    other[:, 3] += 1.0
    assert torch.equal(model(*rest, features).latent, model(*rest, other).latent)
    other[:, 2] += 1.0
    assert not torch.equal(model(*rest, features).latent, model(*rest, other).latent)


def test_an_alert_does_not_depend_on_its_batch() -> None:
    model = network(31)
    inputs = example(model.architecture, 9)
    whole = model(*inputs)
    for number in range(9):
        alone = model(*(part[number : number + 1] for part in inputs))
        torch.testing.assert_close(alone.latent, whole.latent[number : number + 1], rtol=1e-5, atol=1e-5)


def test_architecture_survives_the_card() -> None:
    architecture = Architecture(features=7, size=21, width=2, ignored=(1, 4))
    assert Architecture.from_card(architecture.to_card()) == architecture


@pytest.mark.parametrize("fields", [{}, {"classes": ["a"], "depth": 3}, {"classes": 3}])
def test_a_damaged_architecture_is_an_error(fields: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="architecture cannot be read"):
        Architecture.from_card(fields)
