"""A small synthetic data set, and a model trained on it for two passes; the same with stored history."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fulgor.models.dataset import STEP_TIMES, Dataset, Example
from fulgor.models.export import save
from fulgor.models.finetuning import TuningConfig
from fulgor.models.finetuning import remembering as look_back
from fulgor.models.fitting import TrainingConfig
from fulgor.models.layout import CLASSES, DETECTION
from fulgor.models.training import TrainedModel, train
from fulgor.models.ztf import ZtfNetwork

STEPS = 5
FEATURES = 7


def make_example(number: int, random: np.random.Generator) -> Example:
    """An elongated blob whose length, light curve and metadata depend on the class."""
    kind = number % 5
    y, x = np.mgrid[-31:32, -31:32]
    angle = random.uniform(0, 2 * np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    blob = 4 * np.exp(-(along**2) / (2 * (1 + kind) ** 2) - across**2 / 8)
    stamps = np.stack([blob] * 3) + random.normal(0, 0.3, (3, 63, 63))
    masks = np.ones((3, 63, 63))
    masks[:, : random.integers(0, 8)] = 0
    steps = random.integers(1, STEPS + 1)
    present = (np.arange(STEPS) >= STEPS - steps).astype(np.float32)
    sequence = random.random((STEPS, 8))
    sequence[:, 4], sequence[:, 5], sequence[:, 6] = (kind - 2) / 3, -1.0, 1.0
    sequence[-1, :2] = 0.0
    arrays = {
        "stamps": stamps * masks,
        "masks": masks,
        "sequence": sequence * present[:, None],
        "sequence_mask": present,
        "features": random.normal(kind, 1.0, FEATURES),
    }
    return Example(arrays, CLASSES[kind] if number % 11 else None, f"object{number // 3}")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Sums in one order: the same seed then gives the same bits."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    random = np.random.default_rng(5)
    return Dataset.gather((make_example(number, random) for number in range(400)), CLASSES)


@pytest.fixture(scope="session")
def trained(dataset: Dataset) -> TrainedModel:
    return train(dataset, TrainingConfig(size=31, epochs=2, batch=16, seed=3))


@pytest.fixture(scope="session")
def folder(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("model") / "ztf"
    save(trained, directory, name="test", preprocessing_hash="0123456789abcdef", data={"simulated": True})
    return directory


@pytest.fixture(scope="session")
def linked(dataset: Dataset) -> Dataset:
    """The synthetic alerts, three of an object, each with the earlier ones of its object as its last steps."""
    number = np.arange(len(dataset))
    steps = dataset.arrays["sequence"].shape[1]
    back = np.arange(steps - 1, -1, -1)
    times = np.where(back <= number[:, None] % 3, 2460000.5 + number[:, None] - back, np.nan)
    mask = np.maximum(np.asarray(dataset.arrays["sequence_mask"]), np.isfinite(times))
    sequence = np.array(dataset.arrays["sequence"])
    sequence[:, :, DETECTION] = mask
    arrays = {**dataset.arrays, "sequence": sequence, "sequence_mask": mask, STEP_TIMES: times}
    return Dataset(arrays, dataset.labels, dataset.objects, dataset.classes)


@pytest.fixture(scope="session")
def network(trained: TrainedModel, linked: Dataset) -> ZtfNetwork:
    """The trained network, taught to look back on stored stamp latents."""
    return look_back(trained.network, linked, np.arange(300), TuningConfig(steps=40, batch=32, count=1))


@pytest.fixture(scope="session")
def remembering(trained: TrainedModel, network: ZtfNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that network."""
    directory = tmp_path_factory.mktemp("remembering") / "ztf"
    model = replace(trained, network=network)
    save(model, directory, name="test", preprocessing_hash="0123456789abcdef", data={"simulated": True})
    return directory
