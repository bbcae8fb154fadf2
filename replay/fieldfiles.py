"""The LEELA network's field files as archives: an ``.npy`` of a structured array, each row a message.

``Akrotiri_569218Q0B0024002A.202302131710.npy`` tells site and node by its name; where a name does
not, its first part is taken for the site. A pickled file is refused: `fulgor replay convert
--allow-pickle` makes a plain one of it.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ArchiveError
from fulgor.replay.chunks import chunk_records, encode_chunks, is_chunk_table
from fulgor.replay.files import Entry, Other, read_errors

__all__ = ["FieldFile", "read_table", "site_and_node"]

_NAME: Final = re.compile(r"(?P<site>[^_.]{1,64})(?:_(?P<node>[^_.]{1,64}))?")


def site_and_node(path: Path) -> tuple[str, str]:
    """Return the site and the node that a field file's name tells; the node may be empty."""
    found = _NAME.match(path.name)
    node = found["node"] if found else None
    # A date is no serial number.
    return (found["site"] if found else path.stem[:64]), ("" if node is None or node.isdigit() else node)


def read_table(path: Path) -> NDArray[np.void]:
    """Return the structured array of a plain field file, memory-mapped.

    Raises
    ------
    ArchiveError
        It is pickled, damaged, or holds no chunks.
    """
    try:
        table: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            raise ArchiveError(
                f"{path}: holds a pickle, which can run anything when it is read; if you trust where it comes from:"
                " fulgor replay convert --allow-pickle"
            ) from error
        raise ArchiveError(f"{path}: no NumPy file that can be read: {error}") from error
    if table.ndim > 1 or not is_chunk_table(table.dtype):
        raise ArchiveError(f"{path}: a NumPy file, but no array of LEELA chunks (its type is {str(table.dtype)[:80]})")
    return np.atleast_1d(table)


class FieldFile:
    """One field file; see :class:`fulgor.replay.files.Reader`.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    ArchiveError
        See :func:`read_table`.
    """

    listing: list[Entry] | None = None

    def __init__(self, path: Path) -> None:
        self.size = path.stat().st_size
        self.position = 0
        self._path = path
        self._table = read_table(path)

    def entries(self) -> Iterator[Entry | Other]:
        """Yield the chunks in the file's order, named by its name and their number."""
        rows = chunk_records(self._table, *site_and_node(self._path))
        for number, record in enumerate(rows):
            value = encode_chunks([record])
            self.position = self.size * (number + 1) // len(self._table)
            yield Entry(f"{self._path.name}#{number}", len(value), partial(io.BytesIO, value))

    def fingerprint(self) -> bytes:
        """Return the hash of the file's content."""
        with read_errors(self._path), self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
