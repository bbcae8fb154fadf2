"""When ZTF looks: nights, weather, moon, and the visits of one field.

The rates follow the public survey (Bellm et al. 2019, PASP 131, 068003): g and r in turn, every
two to three nights, with lost nights; the widths, sky levels and limits were set against real
alerts (docs/simulator.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BANDS", "SYNODIC_MONTH", "Nights", "Visits", "limiting_magnitude", "visit"]

BANDS = {1: "g", 2: "r"}
SYNODIC_MONTH = 29.530588  # days
_FULL_MOON = 2460304.5  # a full moon, JD
_DARK = 0.62  # Palomar's nights lie between these fractions of a Julian day
_DAWN = 0.98
_LIMIT_MARGIN = 1.0  # magnitudes by which ZTF's limits are brighter than a matched filter's 5 sigma
_ZERO_POINT = 26.2
_SKY = {1: 84.0, 2: 190.0}  # counts per pixel without a moon, zero point 26.2
_MOON = {1: 190.0, 2: 115.0}  # variance that a full moon adds to a pixel, counts squared
_READ_VARIANCE = 13.5  # counts squared
_GAIN = 10.0  # counts of sky for each count squared of its variance

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Nights:
    """The weather of a range of nights, the same for every object.

    Parameters
    ----------
    first : int
        Julian day number of the first night.
    clear : ndarray of bool (n,)
        Whether the dome opened.
    seeing : ndarray (n,)
        Median FWHM in r, pixels.
    transparency : ndarray (n,)
        Magnitudes lost to cloud.
    """

    first: int
    clear: NDArray[np.bool_]
    seeing: Array
    transparency: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, start: float, end: float) -> Nights:
        """Draw the nights that cover the Julian dates start to end."""
        first = int(np.floor(start))
        count = int(np.ceil(end)) - first + 1
        return cls(
            first=first,
            clear=rng.random(count) < 0.8,
            seeing=rng.lognormal(np.log(2.25), 0.32, count).clip(1.45, 4.6),
            transparency=np.where(rng.random(count) < 0.7, 0.0, rng.exponential(0.45, count)),
        )


@dataclass(frozen=True, slots=True)
class Visits:
    """The exposures that cover one position, in time order; every field has shape (n,).

    Parameters
    ----------
    jd : ndarray
        Julian date of the exposure.
    fid : ndarray of int
        Band: 1 g, 2 r.
    fwhm : ndarray
        Width of the point spread function, pixels.
    sky : ndarray
        Sky level of the images as they are shipped: brought to the template's, counts per pixel.
    noise : ndarray
        Standard deviation of the sky, counts per pixel.
    zero_point : ndarray
        Magnitude of one count.
    limit : ndarray
        Five-sigma limiting magnitude as ZTF states it.
    calibration : ndarray (n, 5)
        magzpsciunc, magzpscirms, clrcoeff, clrcounc and clrmed.
    """

    jd: Array
    fid: NDArray[np.int64]
    fwhm: Array
    sky: Array
    noise: Array
    zero_point: Array
    limit: Array
    calibration: Array

    def __len__(self) -> int:
        return len(self.jd)


def limiting_magnitude(zero_point: Array, noise: Array, fwhm: Array) -> Array:
    """Return the 5-sigma limit of a matched filter, less the margin that ZTF keeps."""
    sigma = fwhm / (2.0 * np.sqrt(2.0 * np.log(2.0)))
    return np.asarray(zero_point - 2.5 * np.log10(5.0 * noise * np.sqrt(4.0 * np.pi) * sigma) - _LIMIT_MARGIN)


def _moonlit(jd: Array) -> Array:
    """Return the part of the moon's disc that is lit, which is about the part of the night that it is up."""
    phase = 2.0 * np.pi * (jd - _FULL_MOON) / SYNODIC_MONTH
    return np.asarray((1.0 + np.cos(phase)) / 2.0)


def _moonlight(rng: np.random.Generator, jd: Array, fid: NDArray[np.int64]) -> Array:
    """Draw the variance that the moon adds to a pixel: its light where it is up, stronger near it."""
    lit = _moonlit(jd)
    up = rng.random(len(jd)) < lit
    return np.where(fid == 1, _MOON[1], _MOON[2]) * lit**2 * up * rng.lognormal(0.0, 0.35, len(jd))


def visit(rng: np.random.Generator, nights: Nights, start: float, end: float, rate: float) -> Visits:
    """Draw the visits of one position.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    nights : Nights
        The weather.
    start, end : float
        Julian dates.
    rate : float
        Mean number of visits per clear night.
    """
    low = max(int(np.floor(start)) - nights.first, 0)
    high = min(int(np.ceil(end)) - nights.first, len(nights.clear))
    index = np.arange(low, high)
    per_night = np.where(nights.clear[index], rng.poisson(rate, len(index)), 0)
    night = np.repeat(index, per_night)
    jd = np.sort(nights.first + night + rng.uniform(_DARK, _DAWN, len(night)))
    keep = (jd >= start) & (jd < end)
    return _conditions(rng, nights, jd[keep], night[keep])


def _conditions(rng: np.random.Generator, nights: Nights, jd: Array, night: NDArray[np.int64]) -> Visits:
    count = len(jd)
    fid = 1 + (np.arange(count) + rng.integers(2) + (rng.random(count) < 0.15)) % 2
    air = rng.lognormal(0.0, 0.1, count)
    fwhm = nights.seeing[night] * np.where(fid == 1, 1.08, 1.0) * air
    loss = nights.transparency[night] * rng.lognormal(0.0, 0.3, count) + rng.exponential(0.05, count)
    zero_point = np.where(fid == 1, 26.29, 26.27) + rng.normal(-0.03, 0.07, count) - loss
    # An image is brought to the background of its template, taken without a moon; its noise is its own.
    level = np.exp(rng.normal(np.log([_SKY[1], _SKY[2]]), [0.25, 0.33]))[fid - 1]
    sky = level * 10.0 ** (0.4 * (zero_point - _ZERO_POINT)) * rng.lognormal(0.0, 0.03, count)
    noise = np.sqrt(_READ_VARIANCE + level / _GAIN + _moonlight(rng, jd, fid)) * rng.lognormal(0.02, 0.05, count)
    # Some images are noisier than that: scattered light, other people's satellites.
    noise *= np.where(rng.random(count) < 0.1, 1.0 + rng.exponential(0.4, count), 1.0)
    limit = limiting_magnitude(zero_point, noise, fwhm) + rng.normal(0.0, 0.12, count)
    return Visits(jd, fid.astype(np.int64), fwhm, sky, noise, zero_point, limit, _calibration(rng, fid))


def _calibration(rng: np.random.Generator, fid: NDArray[np.int64]) -> Array:
    count = len(fid)
    columns = (
        rng.lognormal(np.log(1.4e-5), 1.3, count),
        rng.lognormal(np.log(0.042), 0.35, count),
        np.where(fid == 1, rng.normal(-0.06, 0.03, count), rng.normal(0.1, 0.02, count)),
        rng.lognormal(np.log(2.4e-5), 1.2, count),
        rng.normal(0.64, 0.09, count).clip(0.4, 1.7),
    )
    return np.stack(columns, axis=1)
