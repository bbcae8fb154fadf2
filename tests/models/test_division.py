"""How alerts are divided for retraining: no object and, where coming nights are spoken of, no night on both sides."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.dataset import Dataset
from fulgor.models.division import BY_TIME, LATER, divide
from fulgor.models.layout import CLASSES, INPUTS
from fulgor.models.training import PARTS

DAY = 20_000  # 2024-10-04


CARD = {"name": "first", "split": {"by": "object", "seed": 3}}


@pytest.fixture
def dataset() -> Dataset:
    """Alerts of which only objects and labels matter."""
    random = np.random.default_rng(2)
    objects = np.array([f"object{number}" for number in random.integers(0, 700, 2000)])
    return Dataset({name: np.zeros((2000, 1)) for name in INPUTS}, random.integers(-1, 5, 2000), objects, CLASSES)


@pytest.fixture
def days(dataset: Dataset) -> np.ndarray:
    """Ten nights, in no order."""
    return DAY + np.random.default_rng(1).integers(0, 10, len(dataset))


def test_what_is_compared_on_was_held_out_by_the_first_training(dataset: Dataset):
    parts = divide(dataset, CARD).parts
    earlier = dataset.split(PARTS, CARD["split"]["seed"])
    seen = set(dataset.objects[np.concatenate([earlier["train"], earlier["validation"]])].tolist())
    assert not seen & set(dataset.objects[parts["test"]].tolist())
    assert sum(map(len, parts.values())) == len(dataset)


def test_listed_objects_are_trained_on_and_never_compared_on(dataset: Dataset):
    chosen = dataset.objects[divide(dataset, CARD).parts["test"][0]]
    listed = {"data": {"used": [{"candid": "1", "object": str(chosen), "label": "SN", "origin": "x"}]}}
    parts = divide(dataset, CARD | listed).parts
    assert chosen not in dataset.objects[parts["test"]]
    assert chosen in dataset.objects[parts["train"]]
    assert len(np.unique(np.concatenate(list(parts.values())))) == len(dataset)


def test_nothing_left_to_compare_on_is_an_error(dataset: Dataset):
    listed = {"data": {"used": [{"object": name} for name in np.unique(dataset.objects).tolist()]}}
    with pytest.raises(ModelError, match=r"are left for 'validation', which needs 1: take more or newer alerts$"):
        divide(dataset, CARD | listed)
    with pytest.raises(ModelError, match="does not say how its objects were divided"):
        divide(dataset, CARD | {"split": {}})


def test_no_night_and_no_object_is_on_both_sides(dataset: Dataset, days: np.ndarray):
    division = divide(dataset, CARD, days)
    test = division.parts["test"]
    others = np.concatenate([division.parts[name] for name in ("train", "validation", "reference")])
    assert days[others].max() < days[test].min()
    assert str(division.tested_from) == str(np.datetime64(int(days[test].min()), "D"))
    assert not set(dataset.objects[others].tolist()) & set(dataset.objects[test].tolist())
    held = set(dataset.objects[divide(dataset, CARD).parts["test"]].tolist())
    assert set(dataset.objects[test].tolist()) <= held
    later = days >= days[test].min()
    assert later.mean() >= LATER
    entry = division.entry(dataset)
    assert (entry["by"], entry["tested_from"]) == (BY_TIME, str(division.tested_from))
    assert divide(dataset, CARD | {"split": entry}, days).parts["test"].tolist() == test.tolist()


def test_nights_that_the_first_model_was_trained_on_are_not_compared_on(dataset: Dataset, days: np.ndarray):
    first = divide(dataset, CARD, days)
    entry = first.entry(dataset)
    older = days - 2  # an archive that ends earlier
    assert divide(dataset, CARD | {"split": entry}, older).tested_from == first.tested_from
    assert str(divide(dataset, CARD, older).tested_from) < str(first.tested_from)
    with pytest.raises(ModelError, match="is no date: 'soon'"):
        divide(dataset, CARD | {"split": entry | {"tested_from": "soon"}}, days)


def test_one_night_says_nothing_of_coming_ones(dataset: Dataset):
    with pytest.raises(ModelError, match=r"all alerts are of one UTC day.*--split object"):
        divide(dataset, CARD, np.full(len(dataset), DAY))


def test_a_night_is_taken_whole_and_too_little_is_an_error(dataset: Dataset):
    last = np.arange(len(dataset)) % 5 == 0
    division = divide(dataset, CARD, np.where(last, DAY, DAY + 1))  # four fifths of the alerts are of the last night
    assert str(division.tested_from) == "2024-10-05"
    with pytest.raises(ModelError, match=r"'reference', which needs 20: .* or divide by object alone"):
        divide(dataset.part(np.arange(300)), CARD, np.where(last, DAY, DAY + 1)[:300])
