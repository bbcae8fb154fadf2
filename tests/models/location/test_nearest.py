"""The pulse of each receiver that is nearest to an expected time, as a search through all of them finds it."""

from __future__ import annotations

import numpy as np

from fulgor.models.location.nearest import Nearest


def plainly(time: np.ndarray, site: np.ndarray, expected: np.ndarray, within: float, free: np.ndarray) -> np.ndarray:
    found = np.full(expected.shape, -1)
    for (row, at), when in np.ndenumerate(expected):
        mine = np.flatnonzero(free & (site == at) & (np.abs(time - when) < within))
        if len(mine):
            found[row, at] = mine[np.abs(time[mine] - when).argmin()]
    return found


def test_the_nearest_free_pulse_of_each_receiver_is_found():
    random = np.random.default_rng(2)
    time, site, free = random.uniform(0, 1e6, 300), random.integers(0, 6, 300), random.random(300) < 0.7
    expected = random.uniform(-2e4, 1.02e6, (50, 7))
    expected[0] = 1e12  # a fit that ran away
    found = Nearest(time, site).among(expected, np.full(expected.shape, 3e3), free)
    assert (found == plainly(time, site, expected, 3e3, free)).all()
    assert (found[:, 6] == -1).all()
    assert (found[0] == -1).all()
    assert (found >= 0).any()


def test_without_pulses_there_is_none():
    none = Nearest(np.empty(0), np.empty(0, np.intp)).among(np.zeros((2, 3)), np.ones((2, 3)), np.empty(0, bool))
    assert (none == -1).all()
