from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.augmentation import Augmentation
from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.export import example
from fulgor.models.finetuning import TuningConfig, Views, tune, views
from fulgor.models.finetuning import _fold as fold
from fulgor.models.training import TrainedModel
from fulgor.models.ztf import Architecture, ZtfNetwork

CONFIG = TuningConfig(steps=60, batch=32, rehearsed=8, count=2)


@pytest.fixture(scope="module")
def seen(trained: TrainedModel, dataset: Dataset) -> Views:
    return views(trained.network, dataset, np.arange(300), Augmentation(turned=1.0), 2, 0)


def test_it_learns_alerts_that_it_was_not_given(trained: TrainedModel, dataset: Dataset, seen: Views) -> None:
    network = tune(trained.network, seen, seen, CONFIG)
    held = np.arange(300, 400)
    inputs = (torch.from_numpy(array) for array in dataset.take(held).values())
    told = network(*inputs).probabilities.argmax(1).numpy()
    known = dataset.labels[held] != UNLABELLED
    assert (told == dataset.labels[held])[known].mean() > 0.7


def test_the_encoder_stays_as_it_was(trained: TrainedModel, seen: Views) -> None:
    network = tune(trained.network, seen, None, replace(CONFIG, steps=3))
    for name, value in network.state_dict().items():
        if name.startswith(("encoder.", "stamp_decoder.")):
            assert torch.equal(value, trained.network.state_dict()[name]), name
    assert not torch.equal(network.classifier.weight, trained.network.classifier.weight)


def test_the_first_view_is_of_the_stamps_as_they_are(trained: TrainedModel, dataset: Dataset, seen: Views) -> None:
    first = {name: torch.from_numpy(array) for name, array in dataset.take(np.arange(3)).items()}
    latent = trained.network.encoder(first["stamps"], first["masks"])
    torch.testing.assert_close(seen.latents[:3, 0], latent, rtol=1e-5, atol=1e-5)
    assert seen.latents.shape == (300, 3, 64)
    assert not torch.allclose(seen.latents[:, 1], seen.latents[:, 2])


def test_labels_are_needed(trained: TrainedModel, seen: Views) -> None:
    with pytest.raises(ModelError, match="no labelled real alert"):
        tune(trained.network, seen.unlabelled(), seen, CONFIG)


@pytest.mark.parametrize("cell", ["decay-gru", "diagonal-ssm"])
@pytest.mark.parametrize("sees", [("curve", "metadata", "stamps"), ("metadata", "stamps"), ("curve",), ("metadata",)])
def test_a_network_of_evened_latents_becomes_one_of_latents_as_they_are(sees: tuple[str, ...], cell: str) -> None:
    torch.manual_seed(0)
    architecture = Architecture(7, 21, 1, steps=5, sees=sees, cell=cell)
    network = ZtfNetwork(architecture).eval().requires_grad_(False)
    network.recurrence.absent.copy_(torch.randn(64))
    latents, (*_, sequence, present, features) = torch.randn(4, 64), example(architecture, 4)
    centre, scale = torch.randn(64), 0.5 + torch.rand(64)
    before = network.combined((latents - centre) / scale, sequence, present, features)
    fold(network, centre, scale)
    torch.testing.assert_close(network.combined(latents, sequence, present, features), before, rtol=1e-4, atol=1e-5)
