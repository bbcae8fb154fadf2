from __future__ import annotations

import pytest

from fulgor.errors import ModelError
from fulgor.models.ablation.configurations import BASE, CONFIGURATIONS, named
from fulgor.models.ztf import Architecture, ZtfNetwork


@pytest.mark.parametrize("name", ["21 px + 63 px coarse", "snr", "metadata only", "state space"])
def test_a_configuration_is_a_network(name: str) -> None:
    how = CONFIGURATIONS[name].training
    architecture = Architecture(
        7, how.size, how.width, images=how.images, sees=how.sees, coarse=how.coarse, cell=how.cell
    )
    assert ZtfNetwork(architecture).architecture.to_card() != ZtfNetwork(Architecture(7, 21)).architecture.to_card()


def test_every_configuration_is_another_one() -> None:
    told = {(str(one.training), str(one.tuning), one.pretrained) for one in CONFIGURATIONS.values()}
    assert len(told) == len(CONFIGURATIONS)
    assert next(iter(CONFIGURATIONS.values())) is BASE


def test_images_are_singles_pairs_and_all_with_the_base() -> None:
    assert sum(one.axis == "images" for one in CONFIGURATIONS.values()) == 4 + 6 + 1


def test_what_is_not_seen_is_not_rebuilt() -> None:
    blind = CONFIGURATIONS["metadata only"]
    assert (blind.training.weights.stamps, blind.training.weights.sequence, blind.tuning.sequence) == (0, 0, 0)
    assert CONFIGURATIONS["without metadata"].training.weights == BASE.training.weights


def test_any_configuration_can_be_asked_for_at_another_size() -> None:
    assert named("f8, 63 px").training.size == 63
    assert named("f8, 63 px").training.width == 8
    assert named("63 px") is CONFIGURATIONS["63 px"]


@pytest.mark.parametrize("name", ["f9", "f9, 63 px", "f8, 63", "f8, big px"])
def test_an_unknown_name_is_refused(name: str) -> None:
    if name == "f8, 63":
        assert named(name).training.size == 63
        return
    with pytest.raises(ModelError, match="there is no configuration 'f"):
        named(name)
