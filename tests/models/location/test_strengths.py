"""One source or not, by what the sites heard of it."""

from __future__ import annotations

import numpy as np

from fulgor.models.location.strengths import FINE, are_of_one_source, loss

DISTANCES = np.array([[1e5, 3e5, 6e5, 9e5, 1.5e6]])


def heard(*factors: float) -> np.ndarray:
    return 20.0 - loss(DISTANCES) + np.log([factors])


def verdict(amplitude: np.ndarray, distances: np.ndarray = DISTANCES, at_work: int = 5) -> bool:
    return bool(are_of_one_source(amplitude, loss(distances), np.arange(5) < at_work, FINE)[0])


def test_strengths_that_distance_explains_are_of_one_source():
    assert verdict(heard(1, 1, 1, 1, 1))
    assert verdict(heard(1, 1.3, 0.8, 1, 1.2))
    assert not verdict(heard(1, 5, 1, 1, 1))


def test_a_silent_site_that_should_have_heard_contradicts_if_it_was_at_work():
    silent_near = heard(np.nan, 1, 1, 1, np.nan)
    assert not verdict(silent_near)
    assert verdict(heard(1, 1, 1, np.nan, np.nan))
    assert verdict(heard(1, 1, 1, 1, np.nan), at_work=4)


def test_what_a_very_near_site_heard_says_nothing():
    near = DISTANCES * [[0.1, 1, 1, 1, 1]]
    clipped = 20.0 - loss(near) + np.log([[0.05, 1, 1, 1, 1]])
    assert verdict(clipped, near)
    assert not verdict(heard(0.05, 1, 1, 1, 1))


def test_each_place_is_judged_alone():
    both = np.concatenate([heard(1, 1, 1, 1, 1), heard(1, 5, 1, 1, 1)])
    found = are_of_one_source(both, loss(np.repeat(DISTANCES, 2, axis=0)), np.ones(5, bool), FINE)
    assert found.tolist() == [True, False]
