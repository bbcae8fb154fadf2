from __future__ import annotations

import numpy as np
import pytest

from fulgor.models.dataset import Dataset
from fulgor.models.rebuilding import rebuild
from fulgor.models.serving import load
from fulgor.models.training import TrainedModel


def one(dataset: Dataset, number: int = 3) -> dict[str, np.ndarray]:
    return {name: array[number] for name, array in dataset.arrays.items()}


def test_the_error_is_the_served_score(trained: TrainedModel, dataset: Dataset, folder) -> None:
    model, arrays = load(folder, "cpu"), one(dataset)
    served = model.predict({name: array[None] for name, array in arrays.items()})
    found = rebuild(trained.network, arrays)
    assert found.error == pytest.approx(served["scores"][0, model.scores.index("reconstruction")], rel=1e-4)


def test_the_rebuilt_image_lies_as_the_stamps_do(trained: TrainedModel, dataset: Dataset) -> None:
    arrays = one(dataset)
    found = rebuild(trained.network, arrays)
    np.testing.assert_array_equal(found.seen, arrays["stamps"][:, 16:47, 16:47].astype(np.float32))
    np.testing.assert_array_equal(found.valid, arrays["masks"][:, 16:47, 16:47] > 0)
    turned = {name: np.rot90(arrays[name], 1, (1, 2)).copy() for name in ("stamps", "masks")}
    again = rebuild(trained.network, {**arrays, **turned})
    np.testing.assert_allclose(again.rebuilt, np.rot90(found.rebuilt, 1, (1, 2)), atol=1e-4)
    assert again.error == pytest.approx(found.error, rel=1e-5)


def test_without_a_valid_pixel_there_is_no_error(trained: TrainedModel, dataset: Dataset) -> None:
    arrays = one(dataset)
    blind = {name: np.zeros_like(arrays[name]) for name in ("stamps", "masks")}
    assert np.isnan(rebuild(trained.network, {**arrays, **blind}).error)
