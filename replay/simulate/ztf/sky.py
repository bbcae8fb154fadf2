"""What surrounds a target: stars by galactic latitude, background galaxies, a host.

Positions are in pixels from the target (x right, y up in the stamp); magnitudes are (g, r) pairs
of the time when the template was taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["HALF", "PIXEL", "SIZE", "Galaxy", "Place", "Scene", "draw_place", "draw_scene"]

SIZE = 63  # pixels along a stamp
HALF = SIZE // 2
PIXEL = 1.013  # arcseconds
COLUMNS, ROWS = 3072, 3080  # pixels of one readout channel
_EXTENT = 38.0  # pixels from the target within which sources are drawn: their wings reach the stamp
_FAINTEST = 22.3
_FAINT_RANGE = 2.2  # magnitudes fainter than that, to where a template still shows sources: points at this seeing
_FAINT_GALAXIES = 12.0  # of them in a stamp
_SLOPE = 1.55  # magnitudes over which the number of stars rises by e
_AUREOLES = 13.0  # stars brighter than this scatter light that shows far from them ...
_REACH = 250.0  # ... pixels

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Place:
    """Where on the sky and on the camera the target lies.

    Parameters
    ----------
    ra, dec : float
        Degrees.
    latitude : float
        Galactic latitude, degrees.
    field, rcid : int
        ZTF field and readout channel (0..63).
    x, y : float
        Usual position on the channel, pixels counted from 1.
    """

    ra: float
    dec: float
    latitude: float
    field: int
    rcid: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Galaxy:
    """A Sersic galaxy: position, (g, r) magnitudes, half-light radius (pixels), axis ratio, angle, index."""

    x: float
    y: float
    magnitudes: tuple[float, float]
    radius: float
    axis_ratio: float
    angle: float
    index: float


@dataclass(frozen=True, slots=True)
class Scene:
    """The quiet sources around a target.

    Parameters
    ----------
    x, y : ndarray (N,)
        Stars, pixels from the target.
    magnitudes : ndarray (2, N)
        Their g and r.
    galaxies : tuple of Galaxy
        The host first, where there is one.
    density : float
        Stars expected per stamp; crowded fields have tens.
    aureoles : ndarray (3, M)
        Bright stars around, mostly outside of the stamp: x, y, r magnitude.
    """

    x: Array
    y: Array
    magnitudes: Array
    galaxies: tuple[Galaxy, ...]
    density: float
    aureoles: Array

    def with_star(self, magnitudes: tuple[float, float], x: float = 0.0, y: float = 0.0) -> Scene:
        """Return the scene with one more star, in front of the list."""
        stacked = np.concatenate([np.array(magnitudes)[:, None], self.magnitudes], axis=1)
        return replace(self, x=np.append(x, self.x), y=np.append(y, self.y), magnitudes=stacked)

    def with_host(self, host: Galaxy) -> Scene:
        """Return the scene with one more galaxy, in front of the list."""
        return replace(self, galaxies=(host, *self.galaxies))


def galactic_latitude(ra: float, dec: float) -> float:
    """Return the galactic latitude (degrees) of an equatorial position (J2000, degrees)."""
    pole_ra, pole_dec = np.radians(192.85948), np.radians(27.12825)
    a, d = np.radians(ra), np.radians(dec)
    sine = np.sin(d) * np.sin(pole_dec) + np.cos(d) * np.cos(pole_dec) * np.cos(a - pole_ra)
    return float(np.degrees(np.arcsin(sine)))


def draw_place(rng: np.random.Generator, *, avoid_plane: float, low_plane: float) -> Place:
    """Draw a position on the sky that Palomar sees.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    avoid_plane : float
        No position below this galactic latitude: what is looked for cannot be seen through the disc.
    low_plane : float
        Share of positions drawn from the disc itself (within 15 degrees).
    """
    disc = rng.random() < low_plane
    while True:
        ra = float(rng.uniform(0.0, 360.0))
        dec = float(np.degrees(np.arcsin(rng.uniform(np.sin(np.radians(-28.0)), 1.0))))
        latitude = galactic_latitude(ra, dec)
        if abs(latitude) >= avoid_plane and (not disc or abs(latitude) < 15.0):
            break
    # The survey's numbering runs along declination; what matters is that a place keeps its field.
    field = 245 + int((dec + 28.0) / 118.0 * 600.0) + int(ra // 90.0)
    x, y = rng.uniform(62.0, COLUMNS - 11.0), rng.uniform(11.0, ROWS - 11.0)
    return Place(ra, dec, latitude, field, int(rng.integers(64)), float(x), float(y))


def draw_scene(rng: np.random.Generator, latitude: float) -> Scene:
    """Draw the stars and galaxies around a target.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    latitude : float
        Galactic latitude, degrees.
    """
    density = (1.5 + 120.0 * np.exp(-abs(latitude) / 6.5)) * rng.lognormal(0.0, 0.5)
    area = (2.0 * _EXTENT / SIZE) ** 2
    stars = min(int(rng.poisson(density * area)), 300)
    galaxies = int(rng.poisson(4.8 * area)) if abs(latitude) > 10.0 else int(rng.poisson(0.5))
    x, y = rng.uniform(-_EXTENT, _EXTENT, (2, stars))
    r = (_FAINTEST - rng.exponential(_SLOPE, stars)).clip(9.0)
    g = r + rng.gamma(4.0, 0.17, stars)
    drawn = tuple(_background_galaxy(rng) for _ in range(galaxies))
    points = _faint_points(rng, area * (1.2 * density + (_FAINT_GALAXIES if abs(latitude) > 10.0 else 2.0)))
    return Scene(
        x=np.append(x, points[0]),
        y=np.append(y, points[1]),
        magnitudes=np.concatenate([np.stack([g, r]), points[2:]], axis=1),
        galaxies=drawn,
        density=float(density),
        aureoles=_aureoles(rng, float(density), np.stack([x, y, r])),
    )


def _faint_points(rng: np.random.Generator, expected: float) -> Array:
    """Draw sources below the catalogues' limits: x, y, g, r; their number rises with the magnitude."""
    count = min(int(rng.poisson(expected)), 150)
    r = _FAINTEST + _FAINT_RANGE * np.sqrt(rng.random(count))
    return np.stack([*rng.uniform(-_EXTENT, _EXTENT, (2, count)), r + rng.normal(0.7, 0.3, count), r])


def _aureoles(rng: np.random.Generator, density: float, stars: Array) -> Array:
    """Return x, y, r of the bright ones among the stars, and of such ones drawn farther out."""
    share = np.exp((_AUREOLES - _FAINTEST) / _SLOPE)
    expected = density * share * ((2.0 * _REACH / SIZE) ** 2 - (2.0 * _EXTENT / SIZE) ** 2)
    x, y = rng.uniform(-_REACH, _REACH, (2, min(int(rng.poisson(expected)), 60)))
    far = np.stack([x, y, (_AUREOLES - rng.exponential(_SLOPE, len(x))).clip(5.0)])
    outside = np.maximum(np.abs(x), np.abs(y)) > _EXTENT
    return np.concatenate([stars[:, stars[2] < _AUREOLES], far[:, outside]], axis=1)


def _background_galaxy(rng: np.random.Generator) -> Galaxy:
    x, y = rng.uniform(-_EXTENT, _EXTENT, 2)
    r = max(_FAINTEST - rng.exponential(0.95), 14.0)
    return draw_galaxy(rng, float(x), float(y), float(r))


def draw_galaxy(rng: np.random.Generator, x: float, y: float, r: float) -> Galaxy:
    """Draw the shape and colour of a galaxy of given place and r magnitude."""
    radius = np.clip(rng.lognormal(np.log(2.2 * 10.0 ** (-0.13 * (r - 18.5))), 0.35), 0.4, 14.0)
    return Galaxy(
        x=x,
        y=y,
        magnitudes=(r + float(rng.normal(0.75, 0.25)), r),
        radius=float(radius),
        axis_ratio=float(rng.uniform(0.3, 1.0)),
        angle=float(rng.uniform(0.0, np.pi)),
        index=float(rng.choice([1.0, 2.0, 4.0], p=[0.55, 0.2, 0.25])),
    )
