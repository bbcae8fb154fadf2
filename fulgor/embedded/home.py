"""Where the embedded database keeps its files, and the lock that makes two starts one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fulgor.embedded.account import Account, server_account
from fulgor.errors import EmbeddedServiceError

__all__ = ["ORPHANS_END_WITHIN_S", "SYSTEM_HOME", "Credentials", "Home", "home_folder"]

SYSTEM_HOME = Path("/var/lib/fulgor")
"""The home of a server started by root: any account may pass through it, unlike ``/root``."""
ORPHANS_END_WITHIN_S = 15.0
"""How long backends of a killed server may take to notice; they hold its memory and write its files until then."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The superuser's password, and the port of the last start (0 before the first)."""

    password: str
    port: int


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


class Home:
    """The folder of one server: its lock, its credentials, and the place that its account owns.

    ``postgres.lock`` and ``postgres.json`` belong to the owner of the folder; ``postgres/`` belongs
    to the server's account, or is a link to where that account can reach it.

    Parameters
    ----------
    path : Path
        The folder; made when first locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._credentials = self.path / "postgres.json"

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock that no other process or thread holds; wait for it as long as it takes.

        Raises
        ------
        EmbeddedServiceError
            The folder cannot be made or written to by this user.
        """
        try:
            _make_folder(self.path)
            handle = self._open_own(self.path / "postgres.lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise self.unusable(error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def place(self) -> Path | None:
        """Return the server's folder, or ``None`` before the first start."""
        folder = self.path / "postgres"
        try:
            return folder.resolve() if folder.is_dir() else None
        except PermissionError as error:
            raise self.unusable(error) from error

    def make_place(self, *, throwaway: bool) -> tuple[Path, Account | None]:
        """Return the server's folder, made where it is missing, and the account that must serve it.

        When root's home lies below a folder closed to the account, such as ``/root``, the server's
        folder goes elsewhere and ``postgres`` becomes a link to it: nobody's permissions change.

        Parameters
        ----------
        throwaway : bool
            Elsewhere is the folder for temporary files, not :data:`SYSTEM_HOME`.
        """
        folder = self.path / "postgres"
        account = server_account(folder)
        if not folder.is_dir():
            folder.unlink(missing_ok=True)  # a link whose target was deleted
            if account is None or account.can_enter(self.path):
                folder.mkdir(mode=0o700)
            else:
                folder.symlink_to(self._elsewhere(throwaway=throwaway), target_is_directory=True)
        if account is not None:
            os.chown(folder, account.uid, account.gid)
        return folder.resolve(), account

    def _elsewhere(self, *, throwaway: bool) -> Path:
        if throwaway:
            return Path(tempfile.mkdtemp(prefix="fulgor-postgres-"))
        outer = SYSTEM_HOME / f"at-{sha256(str(self.path).encode()).hexdigest()[:12]}"
        _make_folder(SYSTEM_HOME)
        outer.mkdir(mode=0o700, exist_ok=True)
        return outer

    def credentials(self) -> Credentials | None:
        """Return password and port, or ``None`` before the first start.

        Raises
        ------
        EmbeddedServiceError
            The file belongs to another user or is damaged.
        """
        try:
            stored = json.loads(self._credentials.read_text())
            return Credentials(stored["password"], int(stored["port"]))
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise self.unusable(error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise EmbeddedServiceError(f"{self._credentials} is damaged: restore it ({error})") from error

    def remember(self, credentials: Credentials) -> None:
        """Store password and port, readable by the owner of the home only."""
        fresh = self._credentials.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        handle = self._open_own(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(handle, "w") as file:
            json.dump({"password": credentials.password, "port": credentials.port}, file)
        fresh.replace(self._credentials)

    def delete(self) -> None:
        """Delete the server's folder and the home itself; nothing may run there."""
        place = self.place()
        if place is not None:
            _delete_folder(place)
        shutil.rmtree(self.path, ignore_errors=True)

    def unusable(self, error: OSError) -> EmbeddedServiceError:
        """Return the error for a file that this user cannot use."""
        return EmbeddedServiceError(
            f"cannot use {error.filename or self.path}: {error.strerror}; if it belongs to another user, run fulgor "
            "as that user, or set FULGOR_HOME to a folder of your own"
        )

    def _open_own(self, path: Path, flags: int) -> int:
        """Open a private file that belongs to the owner of the home, also when root makes it."""
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if os.geteuid() == 0:
            owner = self.path.stat()
            os.fchown(handle, owner.st_uid, owner.st_gid)
        return handle


def _make_folder(path: Path) -> None:
    """Make a folder and those above it; root's are open to pass through, whatever the umask."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        path.chmod(0o755)


def _delete_folder(path: Path) -> None:
    """Delete a server's folder, in which the orphans of a killed server may make and delete files for a moment."""
    deadline = time.monotonic() + ORPHANS_END_WITHIN_S
    while path.exists():
        try:
            shutil.rmtree(path)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
