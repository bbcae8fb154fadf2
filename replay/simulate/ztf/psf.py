"""Point sources and galaxies on the pixel grid.

The point spread function is a sum of three circular Gaussians, their wings set to those of stars in
ZTF's templates: a Gaussian integrated over pixels separates into rows and columns, so a whole field
of stars is one matrix product. Bright stars have an aureole besides, which falls with the square of
the distance (King 1971, PASP 83, 199). Galaxies are Sersic profiles written as sums of Gaussians too (Hogg &
Lang 2013, PASP 125, 719), which makes their blurring by the seeing an addition of covariances.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import erf, gammaincinv

__all__ = ["PSF", "render_aureoles", "render_galaxy", "render_stars", "trail"]

Image = NDArray[np.float64]

_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
# Weights and widths (in units of the core's sigma) of the three components, and the ratio of the
# whole profile's FWHM to the core's.
_WEIGHTS = np.array([0.63, 0.27, 0.10])
_WIDTHS = np.array([1.0, 1.9, 3.6])
_BROADENING = 1.061
_AUREOLE = 0.05  # of a star's light ...
_AUREOLE_FROM, _AUREOLE_TO = 8.0, 300.0  # ... between these distances, pixels


class PSF:
    """A point spread function of given width.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum, pixels.
    stretch : float
        Ratio of the width along y to that along x (tracking, optics); 1 is round.
    """

    def __init__(self, fwhm: float, stretch: float = 1.0) -> None:
        core = fwhm / _FWHM_PER_SIGMA / _BROADENING
        self.fwhm = fwhm
        self.sigma_x = core / np.sqrt(stretch) * _WIDTHS
        self.sigma_y = core * np.sqrt(stretch) * _WIDTHS

    def rows(self, y: Image, size: int) -> Image:
        """Return the share of light per row for sources at y (N,): shape (size, 3 N)."""
        return _integrated(y, self.sigma_y, size)

    def columns(self, x: Image, size: int) -> Image:
        """Return the share of light per column for sources at x (N,): shape (size, 3 N)."""
        return _integrated(x, self.sigma_x, size)


def _integrated(position: Image, sigma: Image, size: int) -> Image:
    edges = np.arange(size + 1) - 0.5
    scaled = (edges[:, None, None] - position[None, :, None]) / (np.sqrt(2.0) * sigma)
    return np.asarray(np.diff(0.5 * erf(scaled), axis=0).reshape(size, -1))


def render_stars(psf: PSF, x: Image, y: Image, fluxes: Image, size: int) -> Image:
    """Draw point sources.

    Parameters
    ----------
    psf : PSF
        Their profile.
    x, y : ndarray (N,)
        Positions in pixels; the centre of the first pixel is 0.
    fluxes : ndarray (..., N)
        Total flux of each source; leading axes give several images of the same sources.
    size : int
        Side of the image.

    Returns
    -------
    ndarray (..., size, size), float64
    """
    rows, columns = psf.rows(y, size), psf.columns(x, size)
    weights = (np.asarray(fluxes)[..., :, None] * _WEIGHTS).reshape(*np.shape(fluxes)[:-1], -1)
    return np.asarray(np.matmul(rows * weights[..., None, :], columns.T))


def render_aureoles(x: Image, y: Image, fluxes: Image, size: int) -> Image:
    """Draw what the optics scatter far from bright stars, which may lie outside of the image.

    Parameters
    ----------
    x, y : ndarray (N,)
        Positions in pixels.
    fluxes : ndarray (N,)
        Total flux of each star.
    size : int
        Side of the image.

    Returns
    -------
    ndarray (size, size), float64
    """
    axis = np.arange(size)
    radius2 = (axis[None, :, None] - y[:, None, None]) ** 2 + (axis[None, None, :] - x[:, None, None]) ** 2
    heights = _AUREOLE * fluxes / (2.0 * np.pi * np.log(_AUREOLE_TO / _AUREOLE_FROM))
    return np.asarray((heights[:, None, None] / (radius2 + _AUREOLE_FROM**2)).sum(0))


@cache
def _sersic(index: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return weights and variances (in units of r_e^2) of Gaussians that add up to a Sersic profile."""
    concentration = gammaincinv(2.0 * index, 0.5)
    radius = np.geomspace(0.03, 5.0, 80)
    profile = np.exp(-concentration * (radius ** (1.0 / index) - 1.0))
    variances = np.geomspace(0.04, 2.6, 6) ** 2
    basis = np.exp(-(radius[:, None] ** 2) / (2.0 * variances)) / (2.0 * np.pi * variances)
    weighting = (radius / profile**0.5)[:, None]
    weights, _ = nnls(basis * weighting, profile * weighting[:, 0])
    kept = weights > 0
    return tuple(weights[kept] / weights.sum()), tuple(variances[kept])


def render_galaxy(
    psf: PSF,
    x: float,
    y: float,
    flux: float,
    *,
    radius: float,
    axis_ratio: float,
    angle: float,
    index: float,
    size: int,
) -> Image:
    """Draw one Sersic galaxy blurred by the seeing.

    Parameters
    ----------
    psf : PSF
        Only its core blurs the galaxy: the faint wings do not show.
    x, y, flux : float
        Position (pixels) and total flux.
    radius : float
        Half-light radius along the major axis, pixels.
    axis_ratio, angle : float
        Minor to major axis, position angle (radians).
    index : float
        Sersic index.
    size : int
        Side of the image.

    Returns
    -------
    ndarray (size, size), float64
    """
    weights, variances = (np.array(values) for values in _sersic(index))
    cos, sin = np.cos(angle), np.sin(angle)
    major, minor = variances * radius**2, variances * (radius * axis_ratio) ** 2
    blur = psf.fwhm / _FWHM_PER_SIGMA
    xx = major * cos**2 + minor * sin**2 + blur**2
    yy = major * sin**2 + minor * cos**2 + blur**2
    xy = (major - minor) * cos * sin
    determinant = xx * yy - xy**2
    reach = 5.0 * float(np.sqrt(major.max() + blur**2))
    columns = np.arange(max(int(x - reach), 0), min(int(x + reach) + 2, size))
    rows = np.arange(max(int(y - reach), 0), min(int(y + reach) + 2, size))
    image = np.zeros((size, size))
    if not len(columns) or not len(rows):
        return image
    dx, dy = columns - x, rows - y
    exponent = (
        np.multiply.outer(yy / determinant, dx**2)[:, None, :]
        + np.multiply.outer(xx / determinant, dy**2)[:, :, None]
        - 2.0 * (xy / determinant)[:, None, None] * np.multiply.outer(dy, dx)
    )
    heights = flux * weights / (2.0 * np.pi * np.sqrt(determinant))
    light = heights @ np.exp(-0.5 * exponent).reshape(len(heights), -1)
    image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = light.reshape(len(rows), len(columns))
    return image


def trail(x: float, y: float, length: float, angle: float) -> tuple[Image, Image]:
    """Return positions (x, y), each (n,), that spread a moving source along its path.

    Parameters
    ----------
    x, y : float
        Middle of the path.
    length : float
        Pixels travelled during the exposure.
    angle : float
        Direction of motion, radians.
    """
    steps = max(1, int(np.ceil(length / 0.4)))
    along = (np.arange(steps) + 0.5) / steps - 0.5
    return x + along * length * np.cos(angle), y + along * length * np.sin(angle)
