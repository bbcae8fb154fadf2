from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.dataset import UNLABELLED, Dataset, Example
from fulgor.models.layout import INPUTS

PARTS = {"train": 0.7, "test": 0.3}


def test_gather(dataset: Dataset) -> None:
    assert len(dataset) == 400
    assert dataset.arrays["masks"].dtype == bool
    assert dataset.labels[0] == UNLABELLED
    assert dataset.labels[1] == 1
    taken = dataset.take(np.array([3, 1]))
    assert set(taken) == set(INPUTS)
    assert all(array.dtype == np.float32 and len(array) == 2 for array in taken.values())


def test_a_label_that_is_no_class_is_unlabelled(dataset: Dataset) -> None:
    arrays = {name: array[0] for name, array in dataset.arrays.items()}
    assert Dataset.gather([Example(arrays, "TDE", "x")], ("AGN",)).labels[0] == UNLABELLED


def test_nothing_is_an_error() -> None:
    with pytest.raises(ModelError, match="nothing to train on"):
        Dataset.gather([], ("AGN",))


def test_split_parts_no_object_and_loses_no_alert(dataset: Dataset) -> None:
    parts = dataset.split(PARTS, seed=1)
    assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(400))
    objects = [set(dataset.objects[index].tolist()) for index in parts.values()]
    assert not objects[0] & objects[1]
    assert len(parts["train"]) == pytest.approx(280, abs=45)


def test_split_depends_on_the_seed_and_not_on_the_order(dataset: Dataset) -> None:
    one, other = dataset.split(PARTS, seed=1), dataset.split(PARTS, seed=2)
    assert not np.array_equal(one["test"], other["test"])
    backwards = Dataset(
        {name: array[::-1] for name, array in dataset.arrays.items()},
        dataset.labels[::-1],
        dataset.objects[::-1],
        dataset.classes,
    )
    assert set(backwards.objects[backwards.split(PARTS, seed=1)["test"]]) == set(dataset.objects[one["test"]])


def test_saved_arrays_come_back_mapped(dataset: Dataset, tmp_path: Path) -> None:
    dataset.save(tmp_path / "set")
    again = Dataset.open(tmp_path / "set")
    assert isinstance(again.arrays["stamps"], np.memmap)
    assert np.array_equal(again.arrays["stamps"], dataset.arrays["stamps"])
    assert np.array_equal(again.labels, dataset.labels)
    assert again.classes == dataset.classes


def test_damaged_files_are_named(dataset: Dataset, tmp_path: Path) -> None:
    dataset.save(tmp_path)
    (tmp_path / "features.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ModelError, match=r"features\.npy cannot be read"):
        Dataset.open(tmp_path)
    with pytest.raises(ModelError, match=r"stamps\.npy"):
        Dataset.open(tmp_path / "nowhere")


def test_uneven_arrays_are_refused(dataset: Dataset) -> None:
    with pytest.raises(ModelError, match="differ in length"):
        Dataset(dataset.arrays, dataset.labels[1:], dataset.objects, dataset.classes)
    arrays = {name: array for name, array in dataset.arrays.items() if name != "masks"}
    with pytest.raises(ModelError, match="lacks the arrays masks"):
        Dataset(arrays, dataset.labels, dataset.objects, dataset.classes)
