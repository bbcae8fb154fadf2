"""What goes wrong on a detector and in a subtraction.

Masks mark pixels that carry no value (NaN in the stamps). They never cover the source's own pixel:
a source there would not have been detected.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fulgor.replay.simulate.ztf.sky import COLUMNS, HALF, ROWS, SIZE, Scene

__all__ = [
    "bad_pixels",
    "cosmic_ray",
    "filtered",
    "hot_pixels",
    "overlap",
    "ringing",
    "saturated_stars",
    "subtraction_residual",
]

Image = NDArray[np.float64]
Mask = NDArray[np.bool_]

_BLOCKS, _STRIP, _HALF_PLANE = 0.62, 0.86, 1.0  # cumulative shares of the three shapes of masks


def bad_pixels(rng: np.random.Generator) -> Mask:
    """Draw the masked pixels of a stamp that has some: blocks, a strip at the border, or a large part.

    Returns
    -------
    ndarray of bool (63, 63)
        True where there is no value; never at the centre.
    """
    while True:
        mask = np.zeros((SIZE, SIZE), dtype=bool)
        shape = rng.random()
        if shape < _BLOCKS:
            for _ in range(1 + int(rng.poisson(0.35))):
                _block(rng, mask)
        elif shape < _STRIP:
            mask[:, : int(rng.integers(1, 20))] = True
            mask = np.rot90(mask, int(rng.integers(4))).copy()
        elif shape < _HALF_PLANE:
            edge = np.cumsum(rng.integers(-1, 2, SIZE)) // 2 + int(rng.integers(34, 60))
            mask = np.rot90(np.arange(SIZE)[:, None] >= edge[None, :], int(rng.integers(4))).copy()
        if not mask[HALF, HALF] and mask.any():
            return mask


def _block(rng: np.random.Generator, mask: Mask) -> None:
    height, width = rng.integers(4, 24, 2)
    bottom, left = rng.integers(-8, SIZE - 2, 2)
    mask[max(bottom, 0) : max(bottom + height, 1), max(left, 0) : max(left + width, 1)] = True


def saturated_stars(rng: np.random.Generator, scene: Scene, peaks: Image, full_well: float) -> Mask:
    """Mask the cores of stars whose peak exceeds the full well, larger for brighter ones.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    scene : Scene
        The stars.
    peaks : ndarray (N,)
        Counts in each star's brightest pixel.
    full_well : float
        Counts that a pixel can hold.
    """
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    for i in np.flatnonzero(peaks > full_well):
        half = int(np.clip(4.0 + 3.0 * np.log10(peaks[i] / full_well) * 2.0, 4, 12))
        column, row = round(scene.x[i]) + HALF, round(scene.y[i]) + HALF
        if max(abs(column - HALF), abs(row - HALF)) > half:
            tall = half + int(rng.integers(-1, 3))
            mask[max(row - tall, 0) : max(row + tall + 1, 0), max(column - half, 0) : max(column + half + 1, 0)] = True
    mask[HALF, HALF] = False
    return mask


def overlap(x: float, y: float) -> tuple[slice, slice]:
    """Return the rows and columns of a stamp at (x, y), counted from 1, that lie on the channel."""
    return _axis(y, ROWS), _axis(x, COLUMNS)


def _axis(position: float, length: int) -> slice:
    nearest = round(position)
    return slice(HALF - min(HALF, nearest - 1), HALF + min(HALF, length - nearest) + 1)


def cosmic_ray(rng: np.random.Generator, x: float, y: float, charge: float) -> Image:
    """Draw the track of a cosmic ray: a sharp streak that no optics blurred.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    x, y : float
        Where it begins, pixels.
    charge : float
        Counts in all.
    """
    length = float(np.clip(rng.exponential(2.2), 0.3, 14.0))
    angle = rng.uniform(0.0, 2.0 * np.pi)
    steps = np.linspace(0.0, length, max(2, int(4 * length)))
    columns = np.rint(x + steps * np.cos(angle)).astype(int)
    rows = np.rint(y + steps * np.sin(angle)).astype(int)
    inside = (columns >= 0) & (columns < SIZE) & (rows >= 0) & (rows < SIZE)
    image = np.zeros((SIZE, SIZE))
    np.add.at(image, (rows[inside], columns[inside]), charge / len(steps) * rng.uniform(0.5, 1.5, int(inside.sum())))
    return image


def hot_pixels(rng: np.random.Generator, depth: float) -> Image:
    """Draw a cluster of bad pixels at the centre, of one sign; depth is its total in counts."""
    image = np.zeros((SIZE, SIZE))
    height, width = rng.integers(1, 4, 2)
    if rng.random() < 0.15:  # a whole column leaks
        image[:, HALF] = depth / 60.0
    block = rng.uniform(0.4, 1.0, (height, width))
    image[HALF - height // 2 : HALF - height // 2 + height, HALF - width // 2 : HALF - width // 2 + width] = (
        depth * block / block.sum()
    )
    return image


def filtered(image: Image) -> Image:
    """Return what a sharp flaw becomes in the difference, which is filtered by the template's profile."""
    for axis in (0, 1):
        image = 0.76 * image + 0.12 * (np.roll(image, 1, axis) + np.roll(image, -1, axis))
    return image


def subtraction_residual(image: Image, shift: tuple[float, float], widening: float) -> Image:
    """Return the first-order residual of subtracting a misplaced, misblurred copy of an image.

    Parameters
    ----------
    image : ndarray (63, 63)
        The template's sources as the science image sees them.
    shift : tuple of float
        Registration error along x and y, pixels.
    widening : float
        Error of the matched width, pixels squared of variance.
    """
    by_y, by_x = np.gradient(image)
    residual = shift[0] * by_x + shift[1] * by_y
    laplacian = np.zeros_like(image)
    laplacian[1:-1, 1:-1] = (
        image[2:, 1:-1] + image[:-2, 1:-1] + image[1:-1, 2:] + image[1:-1, :-2] - 4.0 * image[1:-1, 1:-1]
    )
    return np.asarray(residual + 0.5 * widening * laplacian)


def ringing(rng: np.random.Generator, image: Image, strength: float) -> Image:
    """Return the fringes that a frequency-domain subtraction leaves on bright cores."""
    angle = rng.choice([0.0, np.pi / 2.0, np.pi / 4.0])
    rows, columns = np.mgrid[:SIZE, :SIZE]
    wave = np.cos(
        np.pi * rng.uniform(0.6, 1.0) * (columns * np.cos(angle) + rows * np.sin(angle)) + rng.uniform(0, 6.3)
    )
    return np.asarray(strength * image * wave)
