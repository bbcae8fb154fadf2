"""Distances on the ellipsoid WGS 84."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["distance_m"]

_EQUATOR_M = 6_378_137.0
_FLATTENING = 1 / 298.257223563
_POLE_M = _EQUATOR_M * (1 - _FLATTENING)
_ROUNDS = 12
_SMALL = 1e-13  # radians: a micrometre


def distance_m(lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike) -> NDArray[np.float64]:
    """Return the geodesic distance of points, metres; arguments in degrees, broadcast.

    Vincenty's inverse formula (1975), good to a millimetre unless the points are nearly antipodal.
    """
    phi1, phi2 = (np.arctan((1 - _FLATTENING) * np.tan(np.radians(lat))) for lat in (lat1, lat2))
    difference = np.radians(np.asarray(lon2, np.float64) - np.asarray(lon1, np.float64))
    s1, c1, s2, c2 = np.sin(phi1), np.cos(phi1), np.sin(phi2), np.cos(phi2)
    angle = difference
    for _ in range(_ROUNDS):
        sin_l, cos_l = np.sin(angle), np.cos(angle)
        sin_s = np.hypot(c2 * sin_l, c1 * s2 - s1 * c2 * cos_l)
        cos_s = s1 * s2 + c1 * c2 * cos_l
        sigma = np.arctan2(sin_s, cos_s)
        sin_a = np.divide(c1 * c2 * sin_l, sin_s, out=np.zeros_like(sin_s * sin_l), where=sin_s > 0)
        cos2_a = 1 - sin_a**2
        middle = np.divide(2 * s1 * s2, cos2_a, out=np.zeros_like(cos2_a), where=cos2_a > 0)
        cos_m = np.where(cos2_a > 0, cos_s - middle, 0.0)
        c = _FLATTENING / 16 * cos2_a * (4 + _FLATTENING * (4 - 3 * cos2_a))
        before, angle = (
            angle,
            difference + (1 - c) * _FLATTENING * sin_a * (sigma + c * sin_s * (cos_m + c * cos_s * (2 * cos_m**2 - 1))),
        )
        if np.abs(angle - before).max(initial=0.0) < _SMALL:
            break
    u2 = cos2_a * (_EQUATOR_M**2 - _POLE_M**2) / _POLE_M**2
    a = 1 + u2 / 16384 * (4096 + u2 * (-768 + u2 * (320 - 175 * u2)))
    b = u2 / 1024 * (256 + u2 * (-128 + u2 * (74 - 47 * u2)))
    inner = cos_s * (2 * cos_m**2 - 1) - b / 6 * cos_m * (4 * sin_s**2 - 3) * (4 * cos_m**2 - 3)
    delta = b * sin_s * (cos_m + b / 4 * inner)
    return np.asarray(_POLE_M * a * (sigma - delta), np.float64)
