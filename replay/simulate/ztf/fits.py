"""Stamps as ZTF ships them: one gzipped FITS file of one big-endian float32 image."""

from __future__ import annotations

from functools import cache

import numpy as np
from isal import igzip
from numpy.typing import NDArray

__all__ = ["gzip_fits"]

_BLOCK = 2880
_CARD = 80


def _card(text: str) -> str:
    return text.ljust(_CARD)


@cache
def _header(rows: int, columns: int) -> bytes:
    # ZTF writes T two columns after the equals sign: not fixed format, yet what its packets hold.
    cards = [
        _card("SIMPLE  =  T"),
        _card(f"BITPIX  = {-32:>20d}"),
        _card(f"NAXIS   = {2:>20d}"),
        _card(f"NAXIS1  = {columns:>20d}"),
        _card(f"NAXIS2  = {rows:>20d}"),
        _card("BUNIT   = 'DN      '"),
        _card("END"),
    ]
    return "".join(cards).ljust(_BLOCK).encode("ascii")


def gzip_fits(image: NDArray[np.floating], unix_time: int) -> bytes:
    """Return an image as a gzipped FITS file.

    Parameters
    ----------
    image : ndarray (rows, columns)
        Written as big-endian float32.
    unix_time : int
        Time stamp of the gzip header, seconds.
    """
    rows, columns = image.shape
    data = image.astype(">f4").tobytes()
    raw = _header(rows, columns) + data
    raw += b"\0" * (-len(raw) % _BLOCK)
    packed = igzip.compress(raw, compresslevel=2, mtime=unix_time)
    # Bytes 8 and 9 say how hard it was packed and on what system: ZTF's say "most, Unix".
    return packed[:8] + b"\x02\x03" + packed[10:]
