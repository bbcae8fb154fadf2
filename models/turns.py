"""One process at a time, where several could write into one folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["alone"]


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock that one process has at a time, and that its death gives up; others wait for it here.

    Parameters
    ----------
    path : Path
        A file that is there as long as somebody holds the lock or waits for it.

    Raises
    ------
    OSError
        It cannot be made.
    """
    while True:
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is(lock.fileno(), path):  # removed by the one before us, so others lock another one by now
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
