from __future__ import annotations

import numpy as np
import pytest
from coniferest.isoforest import IsolationForest

from fulgor.models.scores import forest
from fulgor.models.scores.forest import Forest


def test_it_equals_the_forest_that_was_grown(known: tuple[np.ndarray, np.ndarray], strange: np.ndarray) -> None:
    grown = IsolationForest(forest.TREES, forest.SUBSAMPLE, n_jobs=1, random_seed=3).fit(known[0])
    served = Forest.fit(known[0], 3)
    for rows in (known[0], strange, np.full((1, known[0].shape[1]), 1e9, np.float32)):
        assert served(rows) == pytest.approx(-grown.score_samples(rows), abs=1e-6)


def test_a_few_alerts_make_a_forest_too(known: tuple[np.ndarray, np.ndarray], strange: np.ndarray) -> None:
    assert Forest.fit(known[0][:60], 3)(strange).mean() > Forest.fit(known[0][:60], 3)(known[0]).mean()


def test_the_seed_decides(known: tuple[np.ndarray, np.ndarray]) -> None:
    one, same, other = (Forest.fit(known[0], seed)(known[0]) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
