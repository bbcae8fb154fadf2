"""A stroke's position and time on the ellipsoid from arrival times, and how sure they are.

The fits themselves are made many at once (``fit``); what is written out here is made for the few of them that
are strokes. Distances are geodesics on WGS 84.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fulgor.models.location.arrivals import Arrivals, Minima
from fulgor.models.location.fit import Fits
from fulgor.models.location.model import Propagation
from fulgor.preprocessing.leela.geodesy import Stations

__all__ = ["LEAST_SITES", "Solution", "solution", "solve"]

LEAST_SITES = 3
"""Unknowns: east, north, time. Only a fourth site gives a check."""

_WORST_CONDITION = 1e10
# Residuals of a fit with one check, or none, do not tell how little its arrivals can be trusted: of simulated strokes
# of four sites (benchmarks/location.py, seeds 401 to 408) axes of twice the length hold 95 %.
_FEW_CHECKS, _FEW_SCALE = 1, 2.0
_QUANTILE_95 = 5.991  # of chi-square with 2 degrees of freedom

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Solution:
    """Where and when.

    Parameters
    ----------
    lat, lon : float
        WGS 84, degrees.
    time_us : float
        On the scale of the arrival times.
    residuals_us : ndarray
        float64 (n,): arrival less fit.
    sigma_us : ndarray
        float64 (n,): expected size of the residuals, propagation included.
    chi_square : float
        Sum of squared residuals in units of sigma; has ``n - 3`` degrees of freedom (``n - 4`` with a free speed).
    semi_major_km, semi_minor_km : float
        Of the 95 % ellipse.
    azimuth_deg : float
        Of its longer axis, from north over east, 0 to 180.
    slowness : float
        Speed of light over the speed of the wave: as given, or as found.
    """

    lat: float
    lon: float
    time_us: float
    residuals_us: Floats
    sigma_us: Floats
    chi_square: float
    semi_major_km: float
    semi_minor_km: float
    azimuth_deg: float
    slowness: float

    @property
    def rms_us(self) -> float:
        """Root mean square of the residuals."""
        return float(np.sqrt(np.mean(self.residuals_us**2)))


def solve(
    places: Floats,
    times_us: Floats,
    propagation: Propagation,
    start: tuple[float, float],
    *,
    free_speed: bool = False,
    loss: Literal["soft_l1", "linear"] = "soft_l1",
) -> Solution | None:
    """Fit a stroke to arrival times.

    Parameters
    ----------
    places : ndarray
        float64 (n, 2): latitude and longitude of the receivers, degrees; n at least 3 (4 with a free speed).
    times_us : ndarray
        float64 (n,): arrival times.
    propagation : Propagation
        Speed and uncertainty.
    start : tuple of float
        Latitude and longitude near the answer.
    free_speed : bool
        Fit the speed too.
    loss : {'soft_l1', 'linear'}
        Of the residuals.

    Returns
    -------
    Solution or None
        None where the fit ran away or its geometry says nothing.
    """
    arrivals = Arrivals(times_us[None], np.array([start[0]]), np.array([start[1]]))
    fits = Fits(Stations(*places.T), propagation, arrivals, free_speed=free_speed, soft=loss == "soft_l1")
    return solution(fits.minima(), 0, np.arange(len(times_us)), propagation.scale)


def solution(minima: Minima, row: int, members: NDArray[np.intp], scale: float) -> Solution | None:
    """Write one of many fits out.

    Parameters
    ----------
    minima : Minima
        The fits.
    row : int
        Which one.
    members : ndarray
        int (n,): its stations, in the order in which residuals are wanted.
    scale : float
        By which the ellipse is stretched.

    Returns
    -------
    Solution or None
        None where the fit ran away or its geometry says nothing.
    """
    residuals, sigma, slopes = (each[row, members] for each in (minima.residuals, minima.sigma_us, minima.slopes))
    weight = 1 / np.sqrt(1 + residuals**2)  # of the soft loss
    information = slopes.T @ (weight[:, None] * slopes)
    if not minima.is_sound[row] or np.linalg.cond(information) > _WORST_CONDITION:
        return None
    spare = len(residuals) - slopes.shape[1]
    chi_square = float(np.sum(residuals**2))
    # Residuals larger than expected are the stroke's own evidence that it is less well known.
    excess = max(1.0, chi_square / spare) if spare > 0 else 1.0
    scale *= _FEW_SCALE if spare <= _FEW_CHECKS else 1.0
    major, minor, azimuth = _ellipse(np.linalg.inv(information)[:2, :2] * excess, scale)
    return Solution(
        float(minima.lat[row]), float(minima.lon[row]), float(minima.time_us[row]), residuals * sigma, sigma,
        chi_square, major, minor, azimuth, float(minima.slowness[row]),
    )  # fmt: skip


def _ellipse(covariance: Floats, scale: float) -> tuple[float, float, float]:
    """Return semi-axes in km and the longer one's azimuth of a 95 % ellipse; `covariance` is (east, north), km^2."""
    values, axes = np.linalg.eigh(covariance)
    minor, major = scale * np.sqrt(_QUANTILE_95 * np.maximum(values, 0.0))
    east, north = axes[:, 1]
    return float(major), float(minor), float(np.degrees(np.arctan2(east, north)) % 180)
