from __future__ import annotations

from typing import Any

import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.export import example
from fulgor.models.symmetry import ORDER, act
from fulgor.models.ztf import Architecture, ZtfNetwork

ALLOWED = 1e-6


def network(size: int, **axes: Any) -> ZtfNetwork:
    torch.manual_seed(size)
    return ZtfNetwork(Architecture(features=7, size=size, **axes)).eval().requires_grad_(False)


@pytest.mark.parametrize(
    "axes",
    [
        {"size": 63},
        {"size": 31},
        {"size": 21},
        {"size": 21, "coarse": 63},
        {"size": 21, "images": ("template", "snr"), "cell": "diagonal-ssm"},
    ],
)
@pytest.mark.parametrize("expanded", [False, True])
def test_no_orientation_changes_either_latent(axes: dict[str, Any], expanded: bool) -> None:
    model = network(**axes).expanded() if expanded else network(**axes)
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


AXES: dict[str, Any] = {
    "size": 21,
    "images": ("difference", "snr"),
    "sees": ("curve", "stamps"),
    "coarse": 63,
    "cell": "diagonal-ssm",
}


def test_every_axis_survives_the_card_and_a_card_without_them_is_the_first_network() -> None:
    architecture = Architecture(features=7, **AXES)
    assert Architecture.from_card(architecture.to_card()) == architecture
    plain = Architecture(features=7).to_card()
    assert not plain.keys() & (AXES.keys() - {"size"})
    assert Architecture.from_card(plain) == Architecture(features=7)


@pytest.mark.parametrize(
    ("axes", "reason"),
    [
        ({"sees": ()}, "no network sees nothing; choose among curve, metadata, stamps"),
        ({"sees": ("stamps", "curve")}, "in this order"),
        ({"sees": ("sound",)}, "no network sees sound"),
        ({"sees": ("curve", "metadata"), "history_stamps": True}, "only that sees curve and stamps"),
        ({"cell": "lstm"}, "no recurrent cell 'lstm'; choose one of decay-gru, diagonal-ssm"),
    ],
)
def test_a_network_that_does_not_exist_is_refused(axes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        Architecture(features=7, **axes)


INPUTS_OF = {"curve": 2, "metadata": 4, "stamps": 0}


@pytest.mark.parametrize("sees", [("metadata",), ("curve", "metadata"), ("metadata", "stamps"), ("curve", "stamps")])
def test_the_object_latent_depends_on_what_is_seen_and_on_nothing_else(sees: tuple[str, ...]) -> None:
    model = network(21, sees=sees)
    inputs = list(example(model.architecture, 3))
    inputs[1], inputs[3] = torch.ones_like(inputs[1]), torch.ones_like(inputs[3])
    whole = model(*inputs).latent
    for name, place in INPUTS_OF.items():
        other = [part + 0.5 if number == place else part for number, part in enumerate(inputs)]
        assert torch.equal(model(*other).latent, whole) == (name not in sees), name


@pytest.mark.parametrize("fields", [{}, {"classes": ["a"], "depth": 3}, {"classes": 3}])
def test_a_damaged_architecture_is_an_error(fields: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="architecture cannot be read"):
        Architecture.from_card(fields)
