"""A cone on the sky as ranges of the HEALPix index that the tables hold."""

from __future__ import annotations

import math

from fulgor.errors import SettingsError
from fulgor.preprocessing.sky import HEALPIX_ORDER

__all__ = ["LARGEST_RADIUS", "cover"]

LARGEST_RADIUS = 36_000.0
"""Arcseconds: ten degrees. Beyond, a full scan would serve better than an index."""

_MOST_PIXELS = 64  # per cover, roughly: fewer ranges against fewer alerts outside of the cone


def cover(ra: float, dec: float, radius: float) -> list[tuple[int, int]]:
    """Return ranges of order-29 nested pixels that together hold a cone.

    Parameters
    ----------
    ra, dec : float
        Centre, degrees.
    radius : float
        Arcseconds, above 0 and at most `LARGEST_RADIUS`.

    Returns
    -------
    list of (int, int)
        First pixel and the one after the last, ascending, without overlap. They hold more than the
        cone.

    Raises
    ------
    SettingsError
        A number is out of its range.
    """
    if not (math.isfinite(ra) and -360 <= ra <= 360):
        raise SettingsError(f"right ascension {ra}: must lie between -360 and 360 degrees")
    if not -90 <= dec <= 90:
        raise SettingsError(f"declination {dec}: must lie between -90 and 90 degrees")
    if not 0 < radius <= LARGEST_RADIUS:
        raise SettingsError(f"radius {radius}: must lie above 0 and at most {LARGEST_RADIUS:,.0f} arcseconds")
    order = _order(radius)
    shift = 2 * (HEALPIX_ORDER - order)
    return [(first << shift, after << shift) for first, after in _runs(_pixels(ra, dec, radius, order))]


def _order(radius: float) -> int:
    """Return the finest order at which a cone covers no more than some `_MOST_PIXELS`."""
    area = math.pi * math.radians(radius / 3600) ** 2
    pixels = 4 * math.pi * _MOST_PIXELS / area
    return max(0, min(HEALPIX_ORDER, math.floor(math.log2(pixels / 12) / 2)))


def _pixels(ra: float, dec: float, radius: float, order: int) -> list[int]:
    # These take a third of a second to import: only a cone search pays for them.
    from astropy import units as u
    from astropy_healpix import HEALPix

    grid = HEALPix(nside=2**order, order="nested")
    found = grid.cone_search_lonlat(ra % 360 * u.deg, dec * u.deg, radius=radius * (1 + 1e-9) * u.arcsec)
    return sorted(int(pixel) for pixel in found)


def _runs(pixels: list[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for pixel in pixels:
        if runs and runs[-1][1] == pixel:
            runs[-1] = (runs[-1][0], pixel + 1)
        else:
            runs.append((pixel, pixel + 1))
    return runs
