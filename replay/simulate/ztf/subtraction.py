"""How a difference is made of a science image and its template, and what noise the template brings.

The template is a mean of resampled frames, so its noise is correlated; the difference is that of Zackay,
Ofek & Gal-Yam (2016, ApJ 830, 27), by which ZTF subtracts: each image is filtered by the profile of the
other, in units of the noise of both. Where the science image is the sharper one this blurs it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fulgor.replay.simulate.ztf.sky import SIZE

__all__ = ["proper_difference", "readout_noise", "resampled_noise"]

Image = NDArray[np.float64]

_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
_RESAMPLED = (0.18, -0.09, 0.045)  # correlation of a template's noise 1, 2 and 3 pixels apart, as measured
_UNDERSHOOT = 0.33  # counts by which a pixel's noise pulls the next one down along a row ...
_MOST_UNDERSHOOT = 0.1  # ... as a part of the noise, at most
_ROWS: Image = np.fft.fftfreq(SIZE).astype(np.float64)[:, None]
_COLUMNS: Image = np.fft.rfftfreq(SIZE).astype(np.float64)[None, :]
_FREQUENCY2 = _ROWS**2 + _COLUMNS**2


def _power(frequency: Image) -> Image:
    """Return the power of resampled noise at some frequencies (cycles per pixel) along an axis."""
    waves = (rho * np.cos(2.0 * np.pi * (n + 1) * frequency) for n, rho in enumerate(_RESAMPLED))
    return np.asarray(1.0 + 2.0 * sum(waves))


_RESAMPLING = np.sqrt(_power(_ROWS) * _power(_COLUMNS))


def resampled_noise(rng: np.random.Generator, depth: float) -> Image:
    """Draw the noise (63, 63) of a template, of standard deviation ``depth``."""
    white = np.fft.rfft2(rng.standard_normal((SIZE, SIZE)))
    return np.asarray(depth * np.fft.irfft2(white * _RESAMPLING, s=(SIZE, SIZE)))


def readout_noise(rng: np.random.Generator, noise: float) -> Image:
    """Draw the noise (63, 63) of an exposure in units of its deviation: each pixel is followed by an undershoot."""
    white = rng.standard_normal((SIZE, SIZE + 1))
    pull = min(_UNDERSHOOT / noise, _MOST_UNDERSHOOT)
    return np.asarray((white[:, 1:] - pull * white[:, :-1]) / np.sqrt(1.0 + pull**2))


def proper_difference(new: Image, reference: Image, fwhm: tuple[float, float], ratio: float) -> Image:
    """Return the difference of what is new in the science image and the template's noise.

    Parameters
    ----------
    new : ndarray (63, 63)
        The science image without what both show alike: changes, residuals, its noise.
    reference : ndarray (63, 63)
        The template without the same.
    fwhm : tuple of float
        Widths of the science image and of the template, pixels.
    ratio : float
        Noise of the template in units of that of the science image.
    """
    sharpness = [np.exp(-2.0 * (np.pi * width / _FWHM_PER_SIGMA) ** 2 * _FREQUENCY2) for width in fwhm]
    scale = np.sqrt((1.0 + ratio**2) / (sharpness[1] ** 2 + (ratio * sharpness[0]) ** 2))
    found = scale * (sharpness[1] * np.fft.rfft2(new) - sharpness[0] * np.fft.rfft2(reference))
    return np.asarray(np.fft.irfft2(found, s=(SIZE, SIZE)))
