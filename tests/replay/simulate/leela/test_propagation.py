"""Propagation: near and far, day and night, in time and in strength."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.preprocessing.leela.geodesy import distance_m
from fulgor.replay.simulate.leela.propagation import SPEED_OF_LIGHT, Path, arrival_s, hop_ratio, transfer

F = np.fft.rfftfreq(2048, 9.142857e-6)


def strength(distance_m: float, night: bool = False) -> float:
    return float(np.abs(transfer(F, Path(distance_m, night, 0.0)))[(F > 5e3) & (F < 15e3)].mean())


def test_distances_on_the_ellipsoid():
    # Land's End to John o' Groats is a textbook value of the formula's.
    assert distance_m(50.06632, -5.71475, 58.64402, -3.07009) == pytest.approx(969_954.166, abs=0.01)
    assert distance_m(10, 20, 10, 20) == 0
    assert distance_m(0, 0, 0, 90) == pytest.approx(np.pi / 2 * 6_378_137, abs=1)
    assert distance_m([50, 51], 0, 50, [1, 1]).shape == (2,)


def test_far_is_weaker_and_night_is_stronger_far_away():
    fields = [strength(distance) for distance in (1e5, 3e5, 1.5e6, 3.3e6)]
    assert fields == sorted(fields, reverse=True)
    assert strength(3.3e6, night=True) > strength(3.3e6)


def test_rays_and_modes_meet_without_a_jump():
    fields = np.array([strength(distance) for distance in np.arange(7e5, 1.3e6, 2e4)])
    assert np.abs(np.diff(np.log(fields))).max() < 0.4


def test_the_ground_retards_the_first_wave():
    path = Path(1e6, night=False, retardation=0.002)
    assert arrival_s(path) == pytest.approx(1e6 / SPEED_OF_LIGHT * 1.002)
    delay = -np.diff(np.unwrap(np.angle(transfer(F, Path(1e5, False, 0.01))[20:200]))) / (2 * np.pi * F[1])
    assert np.median(delay) == pytest.approx(1e5 / SPEED_OF_LIGHT * 0.01, abs=2e-6)


def test_hops_grow_with_distance_and_at_night():
    ratios = [hop_ratio(Path(distance, False, 0.0)) for distance in (1e5, 4e5, 8e5)]
    assert ratios == sorted(ratios)
    assert hop_ratio(Path(4e5, True, 0.0)) > ratios[1]


def test_nothing_travels_at_zero_frequency():
    assert transfer(F, Path(2e6, False, 0.0))[0] == 0
    assert transfer(F, Path(2e5, False, 0.0))[0] == 0
