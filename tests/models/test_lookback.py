from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fulgor.models.dataset import STEP_TIMES, Dataset
from fulgor.models.layout import CLASSES, DETECTION, HISTORY_INPUTS
from fulgor.models.lookback import ABSENT, earlier_alerts, predict

NAN = math.nan
A, B, C = 2460000.7512345, 2460003.7198765, 2460003.7198766
"""Julian dates; the last two are 9 ms apart."""


def alerts(*rows: tuple[str, list[float]]) -> Dataset:
    count = len(rows)
    arrays = {
        "stamps": np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1),
        "masks": np.ones((count, 1, 1, 1), bool),
        "sequence": np.ones((count, 3, 8), np.float32),
        "sequence_mask": np.ones((count, 3), bool),
        "features": np.zeros((count, 2), np.float32),
        STEP_TIMES: np.array([times for _, times in rows]),
    }
    return Dataset(arrays, np.zeros(count, np.int64), np.array([name for name, _ in rows]), CLASSES)


DATASET = alerts(
    ("x", [NAN, A, B]),
    ("y", [NAN, A, B]),
    ("x", [NAN, NAN, A]),
    ("x", [A, B, C]),
    ("y", [A, A, NAN]),
    ("z", [A, C, C + 30]),
)


def test_an_alert_is_known_by_its_object_and_its_exact_time() -> None:
    assert earlier_alerts(DATASET).tolist() == [[-1, 2], [-1, -1], [-1, -1], [2, 0], [-1, -1], [-1, -1]]


def test_a_limit_is_no_alert() -> None:
    sequence = DATASET.arrays["sequence"].copy()
    sequence[3, 1, DETECTION] = 0.0
    limited = replace(DATASET, arrays={**DATASET.arrays, "sequence": sequence})
    assert earlier_alerts(limited)[3].tolist() == [2, ABSENT]


def test_links_do_not_depend_on_the_order() -> None:
    order = np.array([3, 5, 0, 4, 2, 1])
    moved = earlier_alerts(DATASET.part(order))
    named = np.where(moved == ABSENT, ABSENT, order[moved])
    assert np.array_equal(named, earlier_alerts(DATASET)[order])


def test_an_alert_that_is_left_out_is_not_looked_back_on() -> None:
    assert earlier_alerts(DATASET.part(np.array([0, 3]))).tolist() == [[-1, -1], [-1, 0]]


def test_sets_that_are_joined_know_each_other() -> None:
    first, second = DATASET.part(np.array([2, 1])), DATASET.part(np.array([3, 0]))
    assert earlier_alerts(first.joined(second)).tolist() == [[-1, -1], [-1, -1], [0, 3], [-1, 0]]


def test_the_times_are_kept_exactly(tmp_path: Path) -> None:
    DATASET.save(tmp_path)
    again = Dataset.open(tmp_path)
    assert np.array_equal(again.arrays[STEP_TIMES], DATASET.arrays[STEP_TIMES], equal_nan=True)
    assert np.array_equal(earlier_alerts(again), earlier_alerts(DATASET))
    (tmp_path / f"{STEP_TIMES}.npy").unlink()
    assert np.all(earlier_alerts(Dataset.open(tmp_path)) == ABSENT)


class Echo:
    """Stands for a model: a stamp latent is the alert's own number, a latent the sum of what it looks back on."""

    def __init__(self, shape: tuple[int, int] | None) -> None:
        self.history_shape = shape

    def predict(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        number = arrays["stamps"].reshape(-1, 1)
        if "history" not in arrays:
            return {"stamp_latent": number, "latent": np.full_like(number, NAN)}
        return {"latent": (arrays["history"] * arrays["history_mask"][..., None]).sum(1)}


def test_prediction_looks_back_on_the_stamps_of_earlier_alerts() -> None:
    found = predict(Echo((2, 1)), DATASET, np.array([3, 0, 5]))
    assert found["latent"].tolist() == [[2.0 + 0.0], [2.0], [0.0]]


@pytest.mark.parametrize("index", [[], [4, 1]])
def test_a_model_without_history_is_given_none(index: list[int]) -> None:
    found = predict(Echo(None), DATASET, np.array(index, dtype=np.int64))
    assert found["stamp_latent"][:, 0].tolist() == index
    assert not set(HISTORY_INPUTS) & set(found)
