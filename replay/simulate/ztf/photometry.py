"""What ZTF measures on a difference image: the numbers of a detection.

The flux of a rendered alert is measured on its own stamp with the point spread function, so the
magnitude agrees with the pixels. The stated error is ZTF's own, which is about twice the photon noise
near the limit and far larger for bright sources (fitted to real alerts, docs/simulator.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fulgor.replay.simulate.ztf.psf import PSF, render_stars
from fulgor.replay.simulate.ztf.sky import HALF, SIZE

__all__ = ["Measurement", "measure", "stated_error"]

Array = NDArray[np.float64]

_NEAR = slice(HALF - 4, HALF + 5)  # where the profile is fitted
_BOX = slice(HALF - 2, HALF + 3)  # where bad and negative pixels are counted
_ROWS, _COLUMNS = np.mgrid[:SIZE, :SIZE]
_LIMIT_ERROR = 1.0857 / 5.0
_FLOOR = 0.018  # magnitudes
_SPREAD = 1.8  # ZTF divides peaks by a spread that sources widen
_MANY = 30.0  # reduced chi-square above which its fit drops pixels


def stated_error(change: Array, quiet: Array, limit: Array) -> Array:
    """Return the error (magnitudes) that ZTF states for a change of flux.

    Parameters
    ----------
    change : ndarray
        Absolute change of flux, in units of 10 ** (-0.4 m).
    quiet : ndarray
        Flux of the same source in the template.
    limit : ndarray
        Limiting magnitude.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = _LIMIT_ERROR * 10.0 ** (-0.4 * np.asarray(limit)) / change
        error = np.sqrt((0.75 * relative) ** 2 + 0.115 * relative * (1.0 + 0.3 * quiet / change) + _FLOOR**2)
    return np.where(change > 0, np.minimum(error, 9.0), 9.0)


@dataclass(frozen=True, slots=True)
class Measurement:
    """Numbers of one detection on its difference image.

    Parameters
    ----------
    positive : bool
        Whether the source is brighter than in the template.
    flux : float
        Counts in the fitted profile, always positive.
    values : dict
        ZTF's fields of shape and environment by name.
    """

    positive: bool
    flux: float
    values: dict[str, float]


def measure(difference: Array, science: Array, psf: PSF, x: float, y: float, noise: float) -> Measurement:
    """Measure a source.

    Parameters
    ----------
    difference, science : ndarray (63, 63)
        Counts; NaN where masked.
    psf : PSF
        Profile of the science image.
    x, y : float
        The source's place, pixels.
    noise : float
        Standard deviation of the sky.
    """
    unit = render_stars(psf, np.array([x]), np.array([y]), np.ones(1), SIZE)
    near = difference[_NEAR, _NEAR]
    profile = unit[_NEAR, _NEAR]
    good = np.isfinite(near)
    flux = float((near * profile)[good].sum() / (profile[good] ** 2).sum())
    positive = flux >= 0.0
    image = difference if positive else -difference
    values = _shape(np.where(np.isfinite(image), image, 0.0), psf, abs(flux), unit, noise)
    values |= _contrast(image, science)
    return Measurement(positive, abs(flux), values)


def _shape(image: Array, psf: PSF, flux: float, unit: Array, noise: float) -> dict[str, float]:
    box = image[_BOX, _BOX]
    distance = np.hypot(_ROWS - HALF, _COLUMNS - HALF)
    ring = image[(distance > 9) & (distance < 15)]
    sky = float(np.median(ring))
    small, big = float(image[distance <= 4].sum()), float(image[distance <= 9].sum())
    model = flux * unit[_BOX, _BOX]
    misfit = (box - 1.03 * model) / np.sqrt(noise**2 + 0.4 * model + (0.02 * model) ** 2)
    chi = float((misfit**2).sum() / 24.0) + 0.4
    major, minor = _moments(image, max(2.0 * noise, 0.08 * float(box.max())))
    total = float(np.abs(box).sum())
    return {
        "chipsf": chi if chi < _MANY else float(np.sqrt(_MANY * chi)),
        "aperture": small,
        "aperture_big": big,
        "sky": sky,
        "nneg": int((box < 0).sum()),
        "sumrat": float(box.sum()) / total if total > 0 else 0.0,
        "aimage": major,
        "bimage": minor,
        "half_light": psf.fwhm,
    }


def _moments(image: Array, threshold: float) -> tuple[float, float]:
    """Return the axes (pixels, root mean square) of the light above a threshold near the centre."""
    weight = np.clip(image[_NEAR, _NEAR] - threshold, 0.0, None)
    total = float(weight.sum())
    if total <= 0.0:
        return 0.5, 0.45
    y, x = _ROWS[_NEAR, _NEAR] - HALF, _COLUMNS[_NEAR, _NEAR] - HALF
    mx, my = (weight * x).sum() / total, (weight * y).sum() / total
    xx = (weight * x * x).sum() / total - mx * mx + 1.0 / 12.0
    yy = (weight * y * y).sum() / total - my * my + 1.0 / 12.0
    xy = (weight * x * y).sum() / total - mx * my
    root = float(np.hypot((xx - yy) / 2.0, xy))
    middle = float((xx + yy) / 2.0)
    return float(np.sqrt(middle + root)), float(np.sqrt(max(middle - root, 0.05)))


def _contrast(image: Array, science: Array) -> dict[str, float]:
    return {
        "dsnrms": _peak_over_spread(image),
        "ssnrms": _peak_over_spread(science),
        "nbad": int((~np.isfinite(image[_BOX, _BOX])).sum()),
    }


def _peak_over_spread(image: Array) -> float:
    good = image[np.isfinite(image)]
    spread = 1.4826 * float(np.median(np.abs(good - np.median(good))))
    return float(np.nanmax(image[_BOX, _BOX])) / max(_SPREAD * spread, 1e-3)
