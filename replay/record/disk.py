"""Writing so that a file is whole or absent, and saying what the disk says."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fulgor.errors import ArchiveError, DiskFullError, is_out_of_space
from fulgor.replay.record.layout import PART

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
    # A process id is no name among machines that share a folder: in containers each is number 1.
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{PART}")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
