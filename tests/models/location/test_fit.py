"""Many fits at once come out as each would alone."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.models.location import Propagation
from fulgor.models.location.arrivals import Arrivals, Minima
from fulgor.models.location.fit import Fits
from fulgor.preprocessing.leela.geodesy import Stations, distance_m
from fulgor.replay.simulate.leela.network import NETWORK

PLACES = np.array([(site.node.lat, site.node.lon) for site in NETWORK])
STATIONS = Stations(*PLACES.T)
WAVE = Propagation(slowness=1.002, near_us=3.0, far_us=3.0)


def noisy(count: int) -> tuple[Arrivals, np.ndarray]:
    """Return arrivals at four to all stations, one of them late, of strokes known to some 50 km."""
    random = np.random.default_rng(4)
    true = np.stack([random.uniform(46, 55, count), random.uniform(-8, 8, count)])
    times = WAVE.travel_us(distance_m(*true[:, :, None], *PLACES.T)) + random.normal(0, 3, (count, len(PLACES)))
    for row in times:
        row[random.permutation(len(row))[: random.integers(0, len(row) - 3)]] = np.nan
    times[np.arange(count), np.nanargmax(times, axis=1)] += 60
    return Arrivals(times, *(true + random.normal(0, 0.4, true.shape))), true


def minima(arrivals: Arrivals, *, rough: bool = False) -> Minima:
    return Fits(STATIONS, WAVE, arrivals, rough=rough).minima()


def test_a_fit_does_not_depend_on_those_beside_it():
    arrivals, true = noisy(40)
    together = minima(arrivals)
    for row in range(0, 40, 7):
        alone = minima(Arrivals(*(each[row : row + 1] for each in arrivals)))
        assert alone.lat[0] == pytest.approx(together.lat[row], abs=1e-6)
        assert alone.time_us[0] == pytest.approx(together.time_us[row], abs=1e-3)
    apart = distance_m(together.lat, together.lon, *true)
    assert np.median(apart) < 10_000


def test_slopes_are_the_derivatives_of_residuals():
    found = minima(noisy(5)[0])
    km = 0.05
    north = WAVE.travel_us(distance_m(found.lat[:, None] + km / 111.2, found.lon[:, None], *PLACES.T))
    south = WAVE.travel_us(distance_m(found.lat[:, None] - km / 111.2, found.lon[:, None], *PLACES.T))
    there = found.residuals != 0
    slope = -(north - south) / (2 * km) / found.sigma_us
    # A degree is not 111.2 km everywhere.
    assert found.slopes[..., 1][there] == pytest.approx(slope[there], rel=4e-3, abs=4e-3)
    assert (found.slopes[~there] == 0).all()


def test_a_rough_fit_is_near_the_fine_one():
    arrivals, _ = noisy(40)
    rough, fine = minima(arrivals, rough=True), minima(arrivals)
    assert np.median(distance_m(rough.lat, rough.lon, fine.lat, fine.lon)) < 200


def test_a_fit_that_runs_away_says_so():
    times = WAVE.travel_us(distance_m(10.0, 0.0, *PLACES.T))[None]
    assert not minima(Arrivals(times, np.array([51.0]), np.array([0.0]))).is_sound[0]
    assert minima(Arrivals(times, np.array([20.0]), np.array([0.0]))).is_sound[0]
