"""Writing so that a file is whole or absent, and saying what the disk says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fulgor.errors import ArchiveError, DiskFullError, is_out_of_space
from fulgor.models.wholefile import whole_file

__all__ = ["disk_errors", "sync_folder", "write_whole"]


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what a file system says into our errors.

    Raises
    ------
    DiskFullError
        There is no space left, or no more is allowed.
    ArchiveError
        It cannot be written for another reason.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if is_out_of_space(error):
            raise DiskFullError(
                f"{path}: {reason}; whole files stay, the unfinished one is not kept: make room, then start the same"
                " command again"
            ) from error
        raise ArchiveError(f"{path}: cannot be written: {reason}") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is on disk as soon as it has its name.

    Raises
    ------
    OSError
        It cannot be written; nothing is left then.
    """
    with whole_file(path) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
