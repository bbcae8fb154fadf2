from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from fulgor.models.dataset import Dataset
from fulgor.models.redrawing import RedrawingConfig, redraw, stamp_errors
from fulgor.models.training import TrainedModel
from fulgor.models.ztf import ZtfNetwork

CONFIG = RedrawingConfig(epochs=4)


@pytest.fixture
def network(trained: TrainedModel) -> ZtfNetwork:
    return copy.deepcopy(trained.network).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def known(dataset: Dataset) -> list[Dataset]:
    return [dataset.part(np.arange(150)), dataset.part(np.arange(150, 300))]


def test_stamps_that_it_never_saw_are_rebuilt_better(
    network: ZtfNetwork, known: list[Dataset], dataset: Dataset
) -> None:
    unseen = np.arange(300, 400)
    before = float(stamp_errors(network, dataset, unseen).mean())
    found = redraw(network, known, CONFIG)
    assert found.after < found.before
    assert float(stamp_errors(network, dataset, unseen).mean()) < before


def test_nothing_but_the_stamp_decoder_changes(
    trained: TrainedModel, network: ZtfNetwork, known: list[Dataset]
) -> None:
    redraw(network, known, RedrawingConfig(epochs=1))
    changed = {
        name
        for name, value in network.state_dict().items()
        if not torch.equal(value, trained.network.state_dict()[name])
    }
    assert changed
    assert all(name.startswith("stamp_decoder.") for name in changed)
    assert not any(part.requires_grad for part in network.parameters())


def test_the_same_seed_gives_the_same_decoder(network: ZtfNetwork, known: list[Dataset]) -> None:
    other = copy.deepcopy(network)
    assert redraw(network, known, CONFIG) == redraw(other, known, CONFIG)
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_a_decoder_that_would_get_worse_stays_as_it_was(network: ZtfNetwork, known: list[Dataset]) -> None:
    before = copy.deepcopy(network.state_dict())
    found = redraw(network, known, RedrawingConfig(epochs=1, rate=30.0))
    assert found.after == found.before
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_no_pass_and_a_single_object_leave_it_as_it_was(network: ZtfNetwork, known: list[Dataset]) -> None:
    before = copy.deepcopy(network.state_dict())
    assert redraw(network, known, RedrawingConfig(epochs=0)).passes == 0
    assert math.isnan(redraw(network, [known[0].part(np.arange(2))], CONFIG).after)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_stamps_without_a_valid_pixel_have_no_error(network: ZtfNetwork, dataset: Dataset) -> None:
    blind = dataset.part(np.arange(3))
    blind.arrays["masks"][:] = False
    assert stamp_errors(network, blind, np.arange(3)).tolist() == [0.0, 0.0, 0.0]
