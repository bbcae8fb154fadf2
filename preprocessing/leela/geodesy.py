"""Distances on the ellipsoid WGS 84."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["distance_m"]

_EQUATOR_M = 6_378_137.0
_FLATTENING = 1 / 298.257223563
_POLE_M = _EQUATOR_M * (1 - _FLATTENING)
_ROUNDS = 12
# Radians, 0.6 mm: each round's change is some 300 times smaller than the one before.
_SMALL = 1e-10
_TINY = 1e-300


def distance_m(lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike) -> NDArray[np.float64]:
    """Return the geodesic distance of points, metres; arguments in degrees, broadcast.

    Vincenty's inverse formula (1975), good to a millimetre unless the points are nearly antipodal.
    """
    s1, c1 = _reduced(lat1)
    s2, c2 = _reduced(lat2)
    sines, cosines, ahead, across = s1 * s2, c1 * c2, c1 * s2, s1 * c2
    difference = np.radians(np.asarray(lon2, np.float64) - np.asarray(lon1, np.float64))
    angle = difference
    for _ in range(_ROUNDS):
        sin_l, cos_l = np.sin(angle), np.cos(angle)
        sin_s, cos_s = np.hypot(c2 * sin_l, ahead - across * cos_l), sines + cosines * cos_l
        sigma = np.arctan2(sin_s, cos_s)
        # Where a divisor vanishes so does what it divides, and the quotient does not matter.
        sin_a = cosines * sin_l / np.maximum(sin_s, _TINY)
        cos2_a = 1 - sin_a**2
        cos_m = cos_s - 2 * sines / np.maximum(cos2_a, _TINY)
        wave = 2 * cos_m**2 - 1
        c = cos2_a * (_FLATTENING / 4 + _FLATTENING**2 / 4 - 3 * _FLATTENING**2 / 16 * cos2_a)
        before, angle = (
            angle,
            difference + (1 - c) * _FLATTENING * sin_a * (sigma + c * sin_s * (cos_m + c * cos_s * wave)),
        )
        if np.abs(angle - before).max(initial=0.0) < _SMALL:
            break
    u2 = cos2_a * ((_EQUATOR_M**2 - _POLE_M**2) / _POLE_M**2)
    a = 1 + u2 / 16384 * (4096 + u2 * (-768 + u2 * (320 - 175 * u2)))
    b = u2 / 1024 * (256 + u2 * (-128 + u2 * (74 - 47 * u2)))
    inner = cos_s * wave - b / 6 * cos_m * (4 * sin_s**2 - 3) * (4 * cos_m**2 - 3)
    return np.asarray(_POLE_M * a * (sigma - b * sin_s * (cos_m + b / 4 * inner)), np.float64)


def _reduced(lat: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sine and cosine of reduced latitudes."""
    phi = np.arctan((1 - _FLATTENING) * np.tan(np.radians(lat)))
    return np.sin(phi), np.cos(phi)
