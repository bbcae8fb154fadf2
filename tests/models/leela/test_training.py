"""Training: reproducible, on the device that is asked for, and refused where there is nothing to learn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.leela.dataset import ChunkExample, LeelaDataset
from fulgor.models.leela.layout import CLASSES, LATENT, SCORES
from fulgor.models.leela.training import LeelaConfig, infer, strangest, train

SMALL = LeelaConfig(width=4, hidden=8, epochs=1)


def chunks(count: int) -> LeelaDataset:
    random = np.random.default_rng(3)
    rows = []
    for number in range(count):
        pulses = 1 + number % 3
        windows = np.ones((pulses, 2, 256), np.float32)
        windows[:, 0] = random.normal(0, 0.1 + 0.1 * (number % 7), (pulses, 256))
        scalars = random.uniform(0, 3, (pulses, 8)).astype(np.float32)
        rows.append(ChunkExample({"windows": windows, "scalars": scalars}, CLASSES[number % 7], f"flash{number}"))
    return LeelaDataset.gather(rows)


@pytest.fixture(scope="module")
def dataset() -> LeelaDataset:
    torch.set_num_threads(1)
    return chunks(280)


def test_the_same_seed_gives_the_same_model(dataset):
    one, other = train(dataset, SMALL), train(dataset, SMALL, device="cpu")
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name]), name
    assert one.reference.id == other.reference.id


def test_what_is_trained_is_measured_and_ranked(dataset):
    model = train(dataset, SMALL)
    assert tuple(model.reference.tables) == SCORES
    assert model.metrics["alerts"] == sum(model.split["parts"]["test"].values())
    outputs = infer(model.network, dataset, np.arange(9))
    assert outputs["pulse_latent"].shape == (9, 8, LATENT)
    found = strangest(outputs, model.reference)
    anomaly = model.reference.anomaly(outputs["scores"][2, :3])
    assert model.reference.anomaly(found["scores"])[2] == anomaly.max()


def test_too_few_chunks_are_refused():
    with pytest.raises(ModelError, match="leave no labelled one"):
        train(chunks(3), SMALL)
