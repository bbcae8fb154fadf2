"""One array that grows row by row in a ``.npy`` file, which then maps into memory."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ArchiveError
from fulgor.replay.record.disk import disk_errors

__all__ = ["ArrayFile", "mapped"]

BUFFER_BYTES = 1 << 22


class ArrayFile:
    """Takes rows of one shape.

    Parameters
    ----------
    path : Path
        The file; made anew.
    example : ndarray
        The first row, which fixes shape and type; it is not added.
    """

    def __init__(self, path: Path, example: NDArray[Any]) -> None:
        self._path = path
        self._shape = example.shape
        self._dtype = example.dtype
        self._count = 0
        with disk_errors(path):
            self._file = path.open("wb", buffering=BUFFER_BYTES)
            self._file.write(self._header())

    def add(self, row: NDArray[Any]) -> None:
        """Add a row.

        Raises
        ------
        ArchiveError
            Its shape or type is another than that of the first.
        DiskFullError
            There is no space left.
        """
        if row.shape != self._shape or row.dtype != self._dtype:
            raise ArchiveError(
                f"{self._path.name}: alerts of shapes {self._shape} and {row.shape} ({self._dtype}, {row.dtype}) cannot"
                " be in one training set"
            )
        with disk_errors(self._path):
            self._file.write(np.ascontiguousarray(row).data)
        self._count += 1

    def close(self) -> None:
        """Write the number of rows into the header, which numpy pads so that it keeps its length."""
        with disk_errors(self._path):
            self._file.seek(0)
            self._file.write(self._header())
            self._file.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        with suppress(OSError):  # what a full disk does not take any more is not wanted either
            self._file.close()

    def _header(self) -> bytes:
        out = BytesIO()
        descr = np.lib.format.dtype_to_descr(self._dtype)
        shape = (self._count, *self._shape)
        np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
        return out.getvalue()


def mapped(path: Path) -> NDArray[Any]:
    """Return the array of a file; rows are read from disk when they are asked for.

    Raises
    ------
    ArchiveError
        The file is missing or damaged.
    """
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{path} cannot be read ({error}); delete its folder and prepare the set again") from error
    return found
