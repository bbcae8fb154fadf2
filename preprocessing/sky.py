"""Positions on the sky as HEALPix indices, for cone search in SQL."""

from __future__ import annotations

from functools import cache
from typing import Any

__all__ = ["HEALPIX_ORDER", "healpix_index"]

HEALPIX_ORDER = 29
"""The finest order that fits 64 bits; pixels of 0.4 mas, coarser ones are ranges of these."""


def healpix_index(ra: float, dec: float) -> int:
    """Return the nested HEALPix index of a position at order 29.

    Parameters
    ----------
    ra, dec : float
        Degrees.

    Notes
    -----
    Gorski et al. 2005, ApJ 622, 759; nested numbering, so that the pixel of order k is the index
    shifted right by 2 (29 - k) bits.
    """
    return int(_healpy().ang2pix(1 << HEALPIX_ORDER, ra, dec, nest=True, lonlat=True))


@cache
def _healpy() -> Any:
    """Import on first use: it brings astropy, more than half a second that queries need not pay."""
    from astropy_healpix import healpy

    return healpy
