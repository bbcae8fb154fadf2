"""Pickled LEELA field files to plain ones: once, on purpose, and with no class but numpy's arrays.

The network wrote files with ``np.save`` of a dictionary, which is a pickle: reading one runs whatever
its author wanted. The unpickler here knows the handful of names that make numpy arrays and refuses
every other, before anything is called.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ArchiveError, SettingsError
from fulgor.models.wholefile import whole_file
from fulgor.replay.chunks import is_chunk_table
from fulgor.replay.files import NPY_MAGIC

__all__ = ["LARGEST_FILE", "convert", "load_arrays"]

LARGEST_FILE: Final = 1 << 30
"""Bytes; field files of a minute have some ten megabytes."""

_MULTIARRAY: Final = ("numpy._core.multiarray", "numpy.core.multiarray")
_ADMITTED: Final = {
    *((module, name) for module in _MULTIARRAY for name in ("_reconstruct", "scalar")),
    *(("numpy", name) for name in ("ndarray", "dtype")),
}


class _ArraysOnly(pickle.Unpickler):
    """Admits what numpy arrays, their types and scalars are made of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise ArchiveError(f"the pickle asks for {module}.{name}: only arrays of numpy are admitted")
        if module == "numpy":
            return getattr(np, name)
        return _makers()[name]


def _makers() -> dict[str, Callable[..., Any]]:
    """Return numpy's own rebuilders, whatever the module's name when the file was written."""
    made: dict[str, Any] = {"_reconstruct": np.zeros(1).__reduce__(), "scalar": np.float64(0).__reduce__()}
    return {name: parts[0] for name, parts in made.items()}


def load_arrays(path: Path) -> list[NDArray[np.void]]:
    """Return the structured arrays of a pickled field file, whatever dictionary or list holds them.

    Parameters
    ----------
    path : Path
        Of a source that is trusted: the names are checked, but a pickle can still waste memory.

    Raises
    ------
    ArchiveError
        It is no such file, or asks for anything but numpy's arrays.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ArchiveError(f"{path}: more than {LARGEST_FILE} bytes, no field file")
        raw = path.read_bytes()
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be read: {error.strerror}") from error
    stream = io.BytesIO(raw)
    if raw.startswith(NPY_MAGIC):
        _skip_header(stream, path)
    try:
        content = _ArraysOnly(stream).load()
    except ArchiveError as error:
        raise ArchiveError(f"{path}: {error}") from error
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise ArchiveError(f"{path}: the pickle cannot be read: {error}") from error
    arrays = [array for array in _arrays(content) if array.dtype.names and is_chunk_table(array.dtype)]
    if not arrays:
        raise ArchiveError(f"{path}: the pickle holds no array of LEELA chunks")
    return arrays


def _skip_header(stream: io.BytesIO, path: Path) -> None:
    try:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, _, dtype = reader(stream)
    except ValueError as error:
        raise ArchiveError(f"{path}: no NumPy file that can be read: {error}") from error
    if not dtype.hasobject:
        raise ArchiveError(f"{path}: holds no pickle: it can be produced as it is")


def _arrays(content: Any, depth: int = 4) -> Iterator[NDArray[np.void]]:
    """Yield the structured arrays and rows within containers; nothing that a pickle nests deeper than we know."""
    if isinstance(content, np.void):
        content = np.asarray(content)
    if isinstance(content, np.ndarray) and content.dtype != object:
        yield np.atleast_1d(content)
    elif depth and isinstance(content, np.ndarray | dict | list | tuple):
        parts = content.values() if isinstance(content, dict) else content
        for part in parts.ravel() if isinstance(parts, np.ndarray) else parts:
            yield from _arrays(part, depth - 1)


def convert(source: Path, target: Path, *, allow_pickle: bool) -> int:
    """Write a pickled field file as a plain structured array, and return the number of chunks.

    Parameters
    ----------
    source, target : Path
        Pickled file; the new ``.npy``, which must not exist.
    allow_pickle : bool
        Whether the user says that the source is trusted.

    Raises
    ------
    SettingsError
        It was not said, or the target exists or cannot be written.
    ArchiveError
        See :func:`load_arrays`; or the chunks differ in type.
    """
    if not allow_pickle:
        raise SettingsError(
            f"{source} has to be unpickled, which a file of somebody else's could misuse:"
            " say --allow-pickle if you trust where it comes from"
        )
    if target.exists():
        raise SettingsError(f"{target} exists already: name another file, or remove it first")
    arrays = load_arrays(source)
    try:
        table = np.concatenate(arrays)
    except (TypeError, ValueError) as error:
        raise ArchiveError(f"{source}: its chunks differ in type or length: {error}") from error
    _write(target, table)
    return len(table)


def _write(target: Path, table: NDArray[np.void]) -> None:
    """Write the array, whole or not at all."""
    try:
        with whole_file(target) as part, part.open("wb") as file:
            np.save(file, table, allow_pickle=False)
    except OSError as error:
        raise SettingsError(f"{target} cannot be written: {error.strerror}") from error
