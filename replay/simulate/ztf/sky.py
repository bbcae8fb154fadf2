"""What surrounds a target: stars by galactic latitude, background galaxies, a host.

Positions are in pixels from the target (x right, y up in the stamp); magnitudes are (g, r) pairs
of the time when the template was taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["HALF", "PIXEL", "SIZE", "Galaxy", "Place", "Scene", "draw_place", "draw_scene"]

SIZE = 63  # pixels along a stamp
HALF = SIZE // 2
PIXEL = 1.013  # arcseconds
COLUMNS, ROWS = 3072, 3080  # pixels of one readout channel
_EXTENT = 38.0  # pixels from the target within which sources are drawn: their wings reach the stamp
_FAINTEST = 22.3

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
    """

    x: Array
    y: Array
    magnitudes: Array
    galaxies: tuple[Galaxy, ...]
    density: float

    def with_star(self, magnitudes: tuple[float, float], x: float = 0.0, y: float = 0.0) -> Scene:
        """Return the scene with one more star, in front of the list."""
        stacked = np.concatenate([np.array(magnitudes)[:, None], self.magnitudes], axis=1)
        return Scene(np.append(x, self.x), np.append(y, self.y), stacked, self.galaxies, self.density)

    def with_host(self, host: Galaxy) -> Scene:
        """Return the scene with one more galaxy, in front of the list."""
        return Scene(self.x, self.y, self.magnitudes, (host, *self.galaxies), self.density)


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
    density = (2.0 + 60.0 * np.exp(-abs(latitude) / 7.0)) * rng.lognormal(0.0, 0.4)
    area = (2.0 * _EXTENT / SIZE) ** 2
    stars = min(int(rng.poisson(density * area)), 250)
    galaxies = int(rng.poisson(3.5 * area)) if abs(latitude) > 10.0 else int(rng.poisson(0.5))
    x, y = rng.uniform(-_EXTENT, _EXTENT, (2, stars))
    r = (_FAINTEST - rng.exponential(1.55, stars)).clip(9.0)
    g = r + rng.gamma(4.0, 0.17, stars)
    drawn = tuple(_background_galaxy(rng) for _ in range(galaxies))
    return Scene(x, y, np.stack([g, r]), drawn, float(density))


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
