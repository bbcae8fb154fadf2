"""Arrival times of a window, and the waves beneath the envelope."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.models.location import Propagation, Sighting, solve, timing
from fulgor.models.location.phase import Waves, refine
from fulgor.preprocessing.leela.geodesy import Stations, distance_m
from fulgor.replay.simulate.leela.network import NETWORK

STEP_US = 9.142857


def burst(shift_us: float = 0.0, sign: float = 1.0, echo: float = 0.0) -> np.ndarray:
    """A wave packet of 10 kHz around the middle sample, and perhaps a later, stronger one."""
    at = (np.arange(256) - 128) * STEP_US - shift_us
    packet = np.exp(-((at / 80) ** 2)) * np.cos(2 * np.pi * at / 100)
    later = np.exp(-(((at - 90) / 80) ** 2)) * np.cos(2 * np.pi * (at - 90) / 100)
    return sign * (packet + echo * later)


def test_the_edge_moves_with_the_pulse_and_not_with_its_sign():
    here, there = timing(burst(), STEP_US), timing(burst(3.0), STEP_US)
    assert there.edge_us - here.edge_us == pytest.approx(3.0, abs=0.3)
    assert timing(burst(sign=-1), STEP_US).edge_us == pytest.approx(here.edge_us, abs=1e-9)
    assert here.edge_us == pytest.approx(-80 * np.sqrt(np.log(4)), abs=2)


def test_a_stronger_skywave_hides_the_ground_wave_only_in_part():
    alone, followed = timing(burst(), STEP_US), timing(np.roll(burst(echo=2.0), -10), STEP_US)
    late = followed.edge_us + 10 * STEP_US - alone.edge_us
    assert 0 < late < 45  # the skywave's own edge is 90 us late


def test_extrema_stand_half_a_cycle_apart_with_alternate_signs():
    found = timing(burst(), STEP_US)
    middle = int(np.abs(found.extrema_us).argmin())
    assert found.extrema_us[middle] == pytest.approx(0, abs=0.5)
    assert found.signs[middle] == 1
    assert found.signs[middle - 1] == -1
    assert found.extrema_us[middle] - found.extrema_us[middle - 1] == pytest.approx(49, abs=4)


def test_a_window_of_zeros_has_times_that_say_nothing():
    found = timing(np.zeros(256), STEP_US)
    assert len(found.extrema_us) == 0
    assert np.isfinite(found.edge_us)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_wave_that_was_taken_a_cycle_late_is_put_right(sign: float):
    places = np.array([(site.node.lat, site.node.lon) for site in NETWORK[:5]])
    wave = Propagation(1.0022, 2.0, 2.0, reach_m=2e6)
    at = wave.travel_us(distance_m(50.0, 1.0, places[:, 0], places[:, 1]))
    usual = timing(burst(sign=sign), STEP_US)
    # One envelope rises 70 us late, so that the first guess of its wave is a cycle off.
    slipped = type(usual)(usual.edge_us + 70.0, usual.extrema_us, usual.signs)
    sightings = [
        Sighting(str(n), str(n), round(time * 1000), 1.0, slipped if n == 4 else usual) for n, time in enumerate(at)
    ]
    envelope = solve(places, at, Propagation(1.0022, 20.0, 20.0), (51.0, 0.0))
    numbers = np.arange(5)
    (found,) = refine(Waves(sightings, 0), numbers[None], [numbers], [envelope], Stations(*places.T), wave)
    assert found.cycles == (0, 0, 0, 0, -1)
    assert (found.solution.lat, found.solution.lon) == pytest.approx((50.0, 1.0), abs=0.005)
