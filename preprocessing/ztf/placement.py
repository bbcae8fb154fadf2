"""Stamps that were cut at the edge of the detector, put back to where their pixels belong.

ZTF sends the 63x63 pixels around the source; where they would reach over the edge of the detector
quadrant, the missing rows or columns are simply absent and no header says on which side. The
alert's own position tells: pixel ``round(xpos)``, counted from 1, is the middle of the stamp, and the
quadrant has 3072 columns and 3080 rows. (All 22 cut alerts among 1,401 real ones have the shape
that this predicts.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fulgor.preprocessing.ztf.flags import ZtfFlag
from fulgor.preprocessing.ztf.recipe import STAMP_SIZE

__all__ = ["Placement", "placement_of"]

QUADRANT_COLUMNS = 3072
QUADRANT_ROWS = 3080
HALF = STAMP_SIZE // 2


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a stamp of a given shape belongs in the whole frame.

    Parameters
    ----------
    frame : tuple of slice
        Rows and columns of the 63x63 frame that it fills.
    part : tuple of slice
        Rows and columns of the stamp that are used: all, unless it is larger than the frame.
    flags : ZtfFlag
        `EDGE_CUT`, `EDGE_SIDE_GUESSED`, `ODD_SHAPE`.
    """

    frame: tuple[slice, slice]
    part: tuple[slice, slice]
    flags: ZtfFlag

    def framed(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the whole frame with the stamp in its place and NaN where it was cut off."""
        if self is _WHOLE:
            return pixels
        frame = np.full((STAMP_SIZE, STAMP_SIZE), np.nan, np.float32)
        frame[self.frame] = pixels[self.part]
        return frame


_WHOLE = Placement((slice(0, STAMP_SIZE),) * 2, (slice(0, STAMP_SIZE),) * 2, ZtfFlag(0))


def _first_missing(length: int, position: float | None, extent: int) -> int | None:
    """Return how many pixels are missing before the stamp along one axis; None where the position does not tell."""
    if position is None:
        return None
    centre = round(position)
    before = max(0, HALF + 1 - centre)
    behind = max(0, centre + HALF - extent)
    return before if before + behind == STAMP_SIZE - length else None


def _brighter_side(pixels: NDArray[np.float32], axis: int, missing: int) -> int:
    """Return 0 or `missing`, whichever puts the larger absolute flux at the centre."""
    strip = np.nan_to_num(np.abs(np.moveaxis(pixels, axis, 0)), nan=0.0, posinf=0.0)
    brightest = strip.reshape(strip.shape[0], -1).max(axis=1)

    def at_centre(offset: int) -> float:
        row = HALF - offset
        return float(brightest[max(row - 1, 0) : row + 2].max(initial=0.0)) if row >= 0 else 0.0

    return missing if at_centre(missing) > at_centre(0) else 0


def _along(pixels: NDArray[np.float32], axis: int, position: float | None, extent: int) -> tuple[slice, slice, ZtfFlag]:
    length = pixels.shape[axis]
    if length == STAMP_SIZE:
        return slice(0, STAMP_SIZE), slice(0, STAMP_SIZE), ZtfFlag(0)
    if length > STAMP_SIZE:
        start = (length - STAMP_SIZE) // 2
        return slice(0, STAMP_SIZE), slice(start, start + STAMP_SIZE), ZtfFlag.ODD_SHAPE
    flags = ZtfFlag.EDGE_CUT
    first = _first_missing(length, position, extent)
    if first is None:
        flags |= ZtfFlag.EDGE_SIDE_GUESSED
        first = _brighter_side(pixels, axis, STAMP_SIZE - length)
    return slice(first, first + length), slice(0, length), flags


def placement_of(pixels: NDArray[np.float32], xpos: float | None, ypos: float | None) -> Placement:
    """Return where a stamp belongs in the 63x63 frame with the source in pixel (31, 31).

    Parameters
    ----------
    pixels : ndarray of float32, shape (rows, columns)
        The stamp as sent; the difference stamp where there is one, since only a guess looks at it.
    xpos, ypos : float or None
        The source's position on the quadrant in pixels, as in the candidate.
    """
    if pixels.shape == (STAMP_SIZE, STAMP_SIZE):
        return _WHOLE
    rows, part_rows, row_flags = _along(pixels, 0, ypos, QUADRANT_ROWS)
    columns, part_columns, column_flags = _along(pixels, 1, xpos, QUADRANT_COLUMNS)
    return Placement((rows, columns), (part_rows, part_columns), row_flags | column_flags)
