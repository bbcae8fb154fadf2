"""The fit: position and time of a stroke on the ellipsoid from arrival times, and how sure it is.

Least squares with a soft loss (soft L1 in units of each arrival's own standard deviation), so that one
skywave or slipped cycle does not carry the stroke away. Distances are geodesics on WGS 84; their
derivatives are the bearings on a sphere, which is near enough for steps and for the ellipse. The problem
is small (three unknowns, some ten residuals): damped Gauss-Newton steps, spelled out, take a tenth of
the time of a general solver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fulgor.models.location.model import Propagation
from fulgor.preprocessing.leela.geodesy import distance_m

__all__ = ["LEAST_SITES", "Solution", "solve"]

LEAST_SITES = 3
"""Unknowns: east, north, time. Only a fourth site gives a check."""

_KM_A_DEGREE = 111.2
_QUANTILE_95 = 5.991  # of chi-square with 2 degrees of freedom
_FARTHEST_KM = 3_000.0  # from the start: beyond, the fit has run away
_SPEED_STEP = 1e-3

# A step that moves nothing by more than this (km, microseconds, parts per thousand) is the last one; so is one
# that lessens the loss by no more than this part of it.
_SMALL_STEP, _SMALL_GAIN = 1e-4, 1e-8
_MOST_STEPS = 25
_DAMPING, _MOST_DAMPING = 1e-3, 1e6
# Squared residual from which on an arrival's own curvature is not followed: the soft loss has next to none there.
_OUTLYING = 4.0

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
    fit = _Fit(places, times_us, propagation, start, free_speed)
    found = _minimum(fit, soft=loss == "soft_l1")
    if not np.hypot(found[0], found[1]) < _FARTHEST_KM:
        return None
    return fit.solution(found)


def _minimum(fit: _Fit, *, soft: bool) -> Floats:
    """Return the unknowns at which the loss is least, as far as steps down from the start lead.

    Damped after Nielsen (1999): by how much a step gained of what it promised.
    """
    x, damping = fit.first(), _DAMPING
    residuals = fit.residuals(x)
    loss = _loss(residuals, soft=soft)
    for _ in range(_MOST_STEPS):
        downhill, normal = _normal(fit.jacobian(x), residuals, soft=soft)
        scale, more = np.diag(normal) + 1e-12, 4.0
        while True:
            step = np.linalg.solve(normal + np.diag(damping * scale), downhill)
            tried = fit.residuals(x + step)
            its_loss = _loss(tried, soft=soft)
            if its_loss <= loss:
                break
            damping, more = damping * more, 2 * more
            if damping > _MOST_DAMPING or np.abs(step).max() < _SMALL_STEP:
                return x
        gain, promised = loss - its_loss, 0.5 * float(step @ (damping * scale * step + downhill))
        damping *= max(1 / 3, 1 - (2 * min(gain / max(promised, 1e-300), 1.0) - 1) ** 3)
        x, residuals, loss = x + step, tried, its_loss
        if np.abs(step).max() < _SMALL_STEP or gain <= _SMALL_GAIN * loss or np.abs(x[:2]).max() > _FARTHEST_KM:
            break
    return x


def _normal(jacobian: Floats, residuals: Floats, *, soft: bool) -> tuple[Floats, Floats]:
    """Return the loss's descent and its curvature."""
    square = residuals**2
    pull = 1 / np.sqrt(1 + square) if soft else np.ones(len(square))
    curvature = np.where(square < _OUTLYING, pull**3, pull) if soft else pull
    return -jacobian.T @ (pull * residuals), jacobian.T @ (curvature[:, None] * jacobian)


def _loss(residuals: Floats, *, soft: bool) -> float:
    square = residuals**2
    return float(np.sum(np.sqrt(1 + square) - 1) if soft else 0.5 * np.sum(square))


class _Fit:
    """Residuals of one stroke; unknowns are km east and north of the start, microseconds, parts per thousand."""

    def __init__(
        self, places: Floats, times_us: Floats, propagation: Propagation, start: tuple[float, float], free: bool
    ) -> None:
        self._places, self._propagation, self._free = places, propagation, free
        self._lat, self._lon = start
        self._east_km = _KM_A_DEGREE * max(np.cos(np.radians(self._lat)), 0.05)
        distance = self._distance(*start)
        # Of the start: the uncertainty changes too little on the way to the answer to be one of its unknowns.
        self._sigma = propagation.sigma_us(distance)
        self._times = times_us
        self._origin = float(np.median(times_us - propagation.travel_us(distance)))

    def first(self) -> Floats:
        return np.zeros(4 if self._free else 3)

    def residuals(self, x: Floats) -> Floats:
        return self._raw(x) / self._sigma

    def jacobian(self, x: Floats) -> Floats:
        """Return derivatives of the residuals, float64 (n, unknowns)."""
        lat, lon = self._place(x)
        bearing = _bearing(lat, lon, self._places)
        per_km = self._propagation.travel_us(np.array(1e3)) * self._factor(x)
        columns = [per_km * np.sin(bearing), per_km * np.cos(bearing), -np.ones(len(bearing))]
        if self._free:
            columns.append(-_SPEED_STEP * self._propagation.travel_us(self._distance(lat, lon)))
        return np.stack(columns, axis=1) / self._sigma[:, None]

    def solution(self, x: Floats) -> Solution | None:
        jacobian, residuals = self.jacobian(x), self.residuals(x)
        weight = 1 / np.sqrt(1 + residuals**2)  # of the soft loss
        information = jacobian.T @ (weight[:, None] * jacobian)
        if np.linalg.cond(information) > 1e10:
            return None
        spare = len(residuals) - len(x)
        chi_square = float(np.sum(residuals**2))
        # Residuals larger than expected are the stroke's own evidence that it is less well known.
        excess = max(1.0, chi_square / spare) if spare > 0 else 1.0
        covariance = np.asarray(np.linalg.inv(information)[:2, :2] * excess, np.float64)
        major, minor, azimuth = _ellipse(covariance, self._propagation.scale)
        lat, lon = self._place(x)
        return Solution(
            lat, (lon + 180) % 360 - 180, self._origin + float(x[2]), residuals * self._sigma, self._sigma,
            chi_square, major, minor, azimuth, self._propagation.slowness * self._factor(x),
        )  # fmt: skip

    def _place(self, x: Floats) -> tuple[float, float]:
        return float(np.clip(self._lat + x[1] / _KM_A_DEGREE, -89.9, 89.9)), float(self._lon + x[0] / self._east_km)

    def _factor(self, x: Floats) -> float:
        return 1.0 + _SPEED_STEP * float(x[3]) if self._free else 1.0

    def _raw(self, x: Floats) -> Floats:
        travel = self._propagation.travel_us(self._distance(*self._place(x))) * self._factor(x)
        return np.asarray(self._times - self._origin - x[2] - travel, np.float64)

    def _distance(self, lat: float, lon: float) -> Floats:
        return distance_m(lat, lon, self._places[:, 0], self._places[:, 1])


def _bearing(lat: float, lon: float, places: Floats) -> Floats:
    """Return the directions from a point to places, radians from north over east."""
    here, there, turn = np.radians(lat), np.radians(places[:, 0]), np.radians(places[:, 1] - lon)
    ahead = np.cos(here) * np.sin(there) - np.sin(here) * np.cos(there) * np.cos(turn)
    return np.asarray(np.arctan2(np.sin(turn) * np.cos(there), ahead), np.float64)


def _ellipse(covariance: Floats, scale: float) -> tuple[float, float, float]:
    """Return semi-axes in km and the longer one's azimuth of a 95 % ellipse; `covariance` is (east, north), km^2."""
    values, axes = np.linalg.eigh(covariance)
    minor, major = scale * np.sqrt(_QUANTILE_95 * np.maximum(values, 0.0))
    east, north = axes[:, 1]
    return float(major), float(minor), float(np.degrees(np.arctan2(east, north)) % 180)
