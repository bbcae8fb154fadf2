from itertools import pairwise

import numpy as np
import pytest

from fulgor.errors import SettingsError
from fulgor.preprocessing.sky import healpix_index
from fulgor.storage.sky import LARGEST_RADIUS, cover


def inside(ranges, pixel):
    return any(first <= pixel < after for first, after in ranges)


def places(ra, dec, radius, count, rng):
    """Return places at up to `radius` arcseconds from a centre, some of them right at the edge."""
    angle = np.radians(radius / 3600) * np.concatenate([np.sqrt(rng.uniform(size=count)), np.full(count, 1 - 1e-9)])
    turn = rng.uniform(0, 2 * np.pi, size=2 * count)
    a, d = np.radians(ra), np.radians(dec)
    sin_dec = np.sin(d) * np.cos(angle) + np.cos(d) * np.sin(angle) * np.cos(turn)
    east = np.sin(turn) * np.sin(angle) * np.cos(d)
    north = np.cos(angle) - np.sin(d) * sin_dec
    return np.degrees(a + np.arctan2(east, north)) % 360, np.degrees(np.arcsin(np.clip(sin_dec, -1, 1)))


@pytest.mark.parametrize("radius", [0.01, 1.0, 60.0, 3600.0, LARGEST_RADIUS])
@pytest.mark.parametrize(
    ("ra", "dec"), [(0.0, 0.0), (359.9999, 41.8), (45.0, -41.81031), (123.4, 89.99999), (200.0, -90.0), (90.0, 66.4)]
)
def test_no_place_of_the_cone_is_left_out(ra, dec, radius):
    ranges = cover(ra, dec, radius)
    for place in zip(*places(ra, dec, radius, 100, np.random.default_rng(1)), strict=True):
        assert inside(ranges, healpix_index(*map(float, place))), place


@pytest.mark.parametrize("radius", [0.01, 1.0, 3600.0, LARGEST_RADIUS])
def test_ranges_are_few_ascending_and_apart_and_not_much_too_large(radius):
    ranges = cover(123.4, 56.7, radius)
    assert len(ranges) <= 64
    assert all(after < first for (_, after), (first, _) in pairwise(ranges))
    covered = sum(after - first for first, after in ranges) / (12 * 4**29)
    cone = (1 - np.cos(np.radians(radius / 3600))) / 2
    assert cone <= covered <= 3 * cone


def test_negative_right_ascension_is_the_same_place():
    assert cover(-10.0, 5.0, 60.0) == cover(350.0, 5.0, 60.0)


@pytest.mark.parametrize(
    ("place", "named"),
    [((361, 0, 1), "right ascension"), ((float("nan"), 0, 1), "right ascension"), ((0, 90.1, 1), "declination"),
     ((0, float("nan"), 1), "declination"), ((0, 0, 0), "radius"), ((0, 0, 1e9), "radius")],
)  # fmt: skip
def test_numbers_out_of_range(place, named):
    with pytest.raises(SettingsError, match=named):
        cover(*place)
