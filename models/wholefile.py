"""A file that is whole or absent, whoever is cut off while writing it and whoever else writes it at the same moment."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a place to write a file at; when it is left without an error, the file takes its name.

    A file that is there already stays until then. The place is beside it, and of this writer alone: a process id would
    not do among machines that share a folder, for in containers each is number 1.

    Parameters
    ----------
    path : Path
        Name of the file.

    Yields
    ------
    Path
        Where to write it; nothing is left there.

    Raises
    ------
    OSError
        It cannot take its name.
    """
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
