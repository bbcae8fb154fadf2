"""Distances on the ellipsoid: published ones, and many at once."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.preprocessing.leela.geodesy import Stations, distance_m, km_a_degree


def dms(degrees: int, minutes: int, seconds: float) -> float:
    return degrees + minutes / 60 + seconds / 3600


def test_a_published_line_on_wgs_84_comes_out():
    # Flinders Peak to Buninyong, Geoscience Australia's worked example (its GRS 80 and WGS 84 agree to 0.1 mm).
    found = distance_m(-dms(37, 57, 3.72030), dms(144, 25, 29.52440), -dms(37, 39, 10.15610), dms(143, 55, 35.38390))
    assert found == pytest.approx(54972.271, abs=0.002)


@pytest.mark.parametrize(("reach_deg", "worst_m"), [(5, 0.01), (20, 0.05), (35, 0.25)])
def test_stations_are_seen_as_far_as_they_are(reach_deg: float, worst_m: float):
    random = np.random.default_rng(3)
    lat, lon = random.uniform(30, 60, 200), random.uniform(-180, 180, 200)
    far = (lat + reach_deg * random.uniform(-1, 1, 200)).clip(-80, 80), lon + reach_deg * random.uniform(-1, 1, 200)
    view = Stations(*far).seen_from(lat, lon)
    one = np.arange(200)
    assert view.distance_m[one, one] == pytest.approx(distance_m(lat, lon, *far), abs=worst_m)


def test_bearings_are_the_slopes_of_distances():
    lat, lon = np.array([48.0, 60.0]), np.array([179.9, -20.0])
    stations = np.array([51.0, 40.0, 48.5]), np.array([-178.0, 170.0, -30.0])
    view, step = Stations(*stations).seen_from(lat, lon), 1e-4
    east_km, north_km = km_a_degree(lat)
    for bearing, (dlat, dlon), km in ((view.north, (step, 0), north_km), (view.east, (0, step), east_km)):
        ends = [distance_m((lat + k * dlat)[:, None], (lon + k * dlon)[:, None], *stations) for k in (-1, 1)]
        assert bearing == pytest.approx((ends[0] - ends[1]) / (2e3 * step * km[:, None]), abs=4e-5)


def test_a_station_on_the_spot_is_no_way_off():
    view = Stations([50.0], [3.0]).seen_from(np.array([50.0]), np.array([3.0]))
    assert view.distance_m[0, 0] == pytest.approx(0, abs=1e-3)
    assert np.isfinite([view.east, view.north]).all()
