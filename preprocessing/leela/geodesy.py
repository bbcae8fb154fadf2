"""Distances on the ellipsoid WGS 84, and the directions in which the ways begin."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Stations", "View", "distance_m", "km_a_degree"]

_EQUATOR_M = 6_378_137.0
_FLATTENING = 1 / 298.257223563
_POLE_M = _EQUATOR_M * (1 - _FLATTENING)
_ECCENTRICITY_2 = _FLATTENING * (2 - _FLATTENING)
_ROUNDS = 12
# Radians, 0.6 mm: each round's change is some 300 times smaller than the one before.
_SMALL = 1e-10
_TINY = 1e-300

Floats = NDArray[np.float64]


def distance_m(lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike) -> Floats:
    """Return the geodesic distance of points, metres; arguments in degrees, broadcast.

    Vincenty's inverse formula (1975), good to a millimetre unless the points are nearly antipodal.
    """
    latitudes = _Latitudes.of(_reduced(lat1), _reduced(lat2))
    difference = np.radians(np.asarray(lon2, np.float64) - np.asarray(lon1, np.float64))
    angle = difference
    for _ in range(_ROUNDS):
        way = _Way.at(latitudes, np.sin(angle), np.cos(angle))
        before, angle = angle, difference + way.turned
        if np.abs(angle - before).max(initial=0.0) < _SMALL:
            break
    return np.asarray(way.distance_m(), np.float64)


class View(NamedTuple):
    """Ways from places to stations; each array has a row a place, a column a station.

    Parameters
    ----------
    distance_m : ndarray
        float64 (places, stations): geodesic distance.
    east, north : ndarray
        float64 (places, stations): sine and cosine of the bearing in which the way begins at the place.
    """

    distance_m: Floats
    east: Floats
    north: Floats


class Stations:
    """Points that are looked at from many places.

    Parameters
    ----------
    lat, lon : array_like
        (n,): degrees.
    """

    def __init__(self, lat: ArrayLike, lon: ArrayLike) -> None:
        self._reduced = _reduced(lat)
        self._sin, self._cos = _sine_and_cosine(np.radians(lon))

    def seen_from(self, lat: Floats, lon: Floats) -> View:
        """Return the ways from places (degrees, both (m,)), good to 10 cm as far as 4,000 km.

        One round of Vincenty's, from a guess that leaves it next to nothing to do.
        """
        here, (sine, cosine) = _reduced(lat), _sine_and_cosine(np.radians(lon))
        latitudes = _Latitudes.of((here[0][:, None], here[1][:, None]), self._reduced)
        sin_l = self._sin * cosine[:, None] - self._cos * sine[:, None]
        cos_l = self._cos * cosine[:, None] + self._sin * sine[:, None]
        versine = 1 - latitudes.sines - latitudes.cosines * cos_l
        # The arc over its sine is a series in the versine.
        guess = _FLATTENING * latitudes.cosines * sin_l * (1 + versine * (1 / 3 + versine * (2 / 15)))
        sin_g, cos_g = guess * (1 - guess**2 / 6), 1 - guess**2 / 2
        way = _Way.at(latitudes, sin_l * cos_g + cos_l * sin_g, cos_l * cos_g - sin_l * sin_g)
        arc = np.maximum(way.sin_s, _TINY)
        return View(way.distance_m(way.turned - guess), way.east / arc, way.north / arc)


def km_a_degree(lat: Floats) -> tuple[Floats, Floats]:
    """Return the lengths of a degree of longitude and of one of latitude, km."""
    sine, cosine = _sine_and_cosine(np.radians(lat))
    inverse_square = 1 / (1 - _ECCENTRICITY_2 * sine**2)
    across = (np.pi / 180e3 * _EQUATOR_M) * np.sqrt(inverse_square)
    return across * cosine, (1 - _ECCENTRICITY_2) * across * inverse_square


class _Latitudes(NamedTuple):
    """Products of sines and cosines of two reduced latitudes."""

    sines: Floats
    cosines: Floats
    ahead: Floats
    across: Floats
    cosine: Floats

    @classmethod
    def of(cls, here: tuple[Floats, Floats], there: tuple[Floats, Floats]) -> _Latitudes:
        (s1, c1), (s2, c2) = here, there
        return cls(s1 * s2, c1 * c2, c1 * s2, s1 * c2, c2)


class _Way(NamedTuple):
    """A great circle on Vincenty's auxiliary sphere; names as in his paper."""

    sigma: Floats
    sin_s: Floats
    cos_s: Floats
    sin_a: Floats
    cos2_a: Floats
    cos_m: Floats
    wave: Floats
    east: Floats
    north: Floats
    turned: Floats  # by how much the longitudes differ more on the sphere than on the ellipsoid

    @classmethod
    def at(cls, latitudes: _Latitudes, sin_l: Floats, cos_l: Floats) -> _Way:
        """Return the way for a difference of longitudes on the sphere, given as its sine and cosine."""
        sines, cosines, ahead, across, cosine = latitudes
        east, north = cosine * sin_l, ahead - across * cos_l
        # Where a divisor vanishes so does what it divides, and the quotient does not matter.
        sin_s, cos_s = np.sqrt(east * east + north * north), sines + cosines * cos_l
        sigma = np.arctan2(sin_s, cos_s)
        sin_a = cosines * sin_l / np.maximum(sin_s, _TINY)
        cos2_a = 1 - sin_a**2
        cos_m = cos_s - 2 * sines / np.maximum(cos2_a, _TINY)
        wave = 2 * cos_m**2 - 1
        c = cos2_a * (_FLATTENING / 4 + _FLATTENING**2 / 4 - 3 * _FLATTENING**2 / 16 * cos2_a)
        turned = (1 - c) * _FLATTENING * sin_a * (sigma + c * sin_s * (cos_m + c * cos_s * wave))
        return cls(sigma, sin_s, cos_s, sin_a, cos2_a, cos_m, wave, east, north, turned)

    def distance_m(self, turned: Floats | float = 0.0) -> Floats:
        """Return its length on the ellipsoid, where its longitudes are turned a little further."""
        u2 = self.cos2_a * ((_EQUATOR_M**2 - _POLE_M**2) / _POLE_M**2)
        a = 1 + u2 / 16384 * (4096 + u2 * (-768 + u2 * (320 - 175 * u2)))
        b = u2 / 1024 * (256 + u2 * (-128 + u2 * (74 - 47 * u2)))
        inner = self.cos_s * self.wave - b / 6 * self.cos_m * (4 * self.sin_s**2 - 3) * (4 * self.cos_m**2 - 3)
        arc = self.sigma + self.sin_a * turned - b * self.sin_s * (self.cos_m + b / 4 * inner)
        return np.asarray(_POLE_M * a * arc, np.float64)


def _sine_and_cosine(angle: Floats) -> tuple[Floats, Floats]:
    return np.sin(angle), np.cos(angle)


def _reduced(lat: ArrayLike) -> tuple[Floats, Floats]:
    """Return sine and cosine of reduced latitudes."""
    return _sine_and_cosine(np.arctan((1 - _FLATTENING) * np.tan(np.radians(lat))))
