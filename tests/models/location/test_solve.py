"""The fit on the ellipsoid: exact times give the place back, one outlier does not carry it away; a real stroke."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fulgor.models.location import Propagation, solve
from fulgor.preprocessing.leela.geodesy import distance_m
from fulgor.preprocessing.leela.nodes import read_nodes
from fulgor.replay.simulate.leela.network import NETWORK

PLACES = np.array([(site.node.lat, site.node.lon) for site in NETWORK[:8]])
WAVE = Propagation(slowness=1.002, near_us=3.0, far_us=3.0)
TRUE = (48.3, 3.7)


def arrivals(lat: float, lon: float, slowness: float = 1.002) -> np.ndarray:
    return 500.0 + distance_m(lat, lon, PLACES[:, 0], PLACES[:, 1]) * slowness / 299.792458


def test_exact_times_give_place_and_time_back():
    found = solve(PLACES, arrivals(*TRUE), WAVE, (51.0, 0.0))
    assert (found.lat, found.lon, found.time_us) == pytest.approx((*TRUE, 500.0), abs=1e-5)
    assert found.chi_square < 1e-6


def test_a_free_speed_is_found():
    found = solve(PLACES, arrivals(*TRUE, slowness=1.0043), WAVE, (51.0, 0.0), free_speed=True)
    assert found.slowness == pytest.approx(1.0043, abs=1e-7)
    assert (found.lat, found.lon) == pytest.approx(TRUE, abs=1e-3)


def test_a_slipped_cycle_pulls_less_than_with_plain_squares():
    times = arrivals(*TRUE)
    times[2] += 100.0
    apart = [
        float(distance_m(found.lat, found.lon, *TRUE))
        for loss in ("soft_l1", "linear")
        if (found := solve(PLACES, times, WAVE, (51.0, 0.0), loss=loss))
    ]
    assert apart[0] < 0.5 * apart[1]


def test_the_ellipse_holds_95_percent_of_normal_errors():
    random = np.random.default_rng(5)
    distance = distance_m(*TRUE, PLACES[:, 0], PLACES[:, 1])
    held = 0
    for _ in range(60):
        times = arrivals(*TRUE) + random.normal(0, WAVE.sigma_us(distance))
        found = solve(PLACES, times, WAVE, (48.0, 4.0), loss="linear")
        east = 111.2 * np.cos(np.radians(TRUE[0])) * (found.lon - TRUE[1])
        north = 111.2 * (found.lat - TRUE[0])
        turn = np.radians(found.azimuth_deg)
        along, across = east * np.sin(turn) + north * np.cos(turn), east * np.cos(turn) - north * np.sin(turn)
        held += (along / found.semi_major_km) ** 2 + (across / found.semi_minor_km) ** 2 < 1
    # Wider than 95 % of them by the excess that residuals add; 51 would be three standard errors below.
    assert held >= 51


def test_sites_on_one_spot_say_nothing():
    places = np.repeat(PLACES[:1], 4, axis=0)
    assert solve(places, np.zeros(4), WAVE, (50.0, 0.0)) is None


@pytest.mark.real
def test_the_real_strokes_residuals(shared: Path):
    folder = shared / "data" / "leela"
    seen = json.loads((folder / "stroke_20231002T180228_8sites.json").read_text())
    nodes = read_nodes(folder / "node_config.json")
    places = np.array([(nodes[row["node"]].lat, nodes[row["node"]].lon) for row in seen])
    times = np.array([row["timestamp"] for row in seen], "M8[ns]").astype(np.int64)
    times_us = (times - times[0]) / 1000
    rms = {
        slowness: solve(places, times_us, Propagation(slowness, 1.0, 0.0), (52.0, 0.0), loss="linear").rms_us
        for slowness in (1.0, 1 / 1.00425, 1.00425)
    }
    assert list(rms.values()) == pytest.approx([7.16, 20.36, 7.51], abs=0.05)
    free = solve(places, times_us, Propagation(1.0, 1.0, 0.0), (52.0, 0.0), free_speed=True, loss="linear")
    assert free.rms_us == pytest.approx(2.74, abs=0.05)
    assert free.slowness == pytest.approx(1.0021, abs=1e-4)
    assert (free.lat, free.lon) == pytest.approx((52.01, -1.19), abs=0.01)
