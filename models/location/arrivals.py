"""What many fits at once are given, and what comes out of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrivals", "Minima"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Arrivals(NamedTuple):
    """What is fitted; a row a fit, a column a station.

    Parameters
    ----------
    times_us : ndarray
        float64 (fits, stations): arrival times, NaN where there is none.
    lat, lon : ndarray
        float64 (fits,): where each fit starts, degrees.
    """

    times_us: Floats
    lat: Floats
    lon: Floats


class Minima(NamedTuple):
    """Where fits ended; a row a fit, a column a station.

    Parameters
    ----------
    lat, lon : ndarray
        float64 (fits,): WGS 84, degrees.
    time_us : ndarray
        float64 (fits,): on the scale of the arrival times.
    slowness : ndarray
        float64 (fits,): speed of light over the speed of the wave.
    distance_m : ndarray
        float64 (fits, stations): from there to the stations.
    residuals, sigma_us : ndarray
        float64 (fits, stations): arrival less fit in units of sigma, 0 where there was none; and sigma.
    slopes : ndarray
        float64 (fits, stations, unknowns): derivatives of the residuals by km east and north and by microseconds
        (and parts per thousand of slowness).
    is_sound : ndarray
        bool (fits,): the fit did not run away.
    """

    lat: Floats
    lon: Floats
    time_us: Floats
    slowness: Floats
    distance_m: Floats
    residuals: Floats
    sigma_us: Floats
    slopes: Floats
    is_sound: Bools
