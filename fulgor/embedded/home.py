"""Where the embedded services keep their files, and the lock that makes two starts one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fulgor.errors import EmbeddedServiceError

__all__ = ["SYSTEM_HOME", "exclusive", "home_folder"]

SYSTEM_HOME = Path("/var/lib/fulgor")
"""The home of a server started by root: any account may pass through it, unlike ``/root``."""


def home_folder() -> Path:
    """Return the folder that holds the embedded database; it need not exist yet.

    Returns
    -------
    Path
        ``$FULGOR_HOME`` where set; ``/var/lib/fulgor`` for root; else ``$XDG_DATA_HOME/fulgor``,
        which is ``~/.local/share/fulgor`` by default.
    """
    named = os.environ.get("FULGOR_HOME")
    if named:
        return Path(named).expanduser().absolute()
    if os.geteuid() == 0:
        return SYSTEM_HOME
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "fulgor"


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold a file lock that no other process or thread holds; wait for it as long as it takes.

    Parameters
    ----------
    lock : Path
        The lock file; it is created with its folder and stays behind, empty.

    Raises
    ------
    EmbeddedServiceError
        The folder cannot be made or the file cannot be opened by this user.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EmbeddedServiceError(
            f"cannot use {lock.parent}: {error.strerror}; it belongs to another user, or set FULGOR_HOME to a "
            "folder that you may write to"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
