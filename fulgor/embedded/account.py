"""The account that owns the embedded Postgres when root starts it: Postgres refuses to run as root."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fulgor.errors import EmbeddedServiceError

__all__ = ["ACCOUNT_NAME", "Account", "run_as", "server_account"]

ACCOUNT_NAME = "fulgor-postgres"
"""Created on first use, without password, shell or home."""
_ACCOUNTS = Path("/etc/passwd")


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged account of this machine."""

    name: str
    uid: int
    gid: int

    def can_enter(self, folder: Path) -> bool:
        """Say whether the account may pass through a folder and all those above it."""
        return run_as(self, ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)]).returncode == 0

    def can_run(self, program: Path) -> bool:
        """Say whether the account may run a program where it lies."""
        return run_as(self, ["/bin/sh", "-c", '"$1" --version', "sh", str(program)]).returncode == 0


def run_as(
    account: Account | None, command: Sequence[str | Path], *, folder: Path = Path("/"), seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, as another account where one is given, and keep what it prints.

    The environment is not passed on: it may hold secrets of the caller and ``PG...`` variables.
    """
    words = [str(word) for word in command]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(folder)}
    if account is None:
        return subprocess.run(
            words, cwd=folder, env=environment, timeout=seconds, capture_output=True, text=True, check=False
        )
    return subprocess.run(
        words,
        cwd=folder,
        env=environment,
        timeout=seconds,
        capture_output=True,
        text=True,
        check=False,
        user=account.uid,
        group=account.gid,
        extra_groups=[],
    )


def server_account(data: Path) -> Account | None:
    """Return the account that a server on ``data`` must run as: ``None`` means as we are.

    For root it is the owner of existing data, so that ``sudo`` on a user's own database works,
    else the account :data:`ACCOUNT_NAME`, created where it is missing.

    Raises
    ------
    EmbeddedServiceError
        Root, and the account cannot be created or used.
    """
    if os.geteuid() != 0:
        return None
    owner = data.stat().st_uid if data.exists() else 0
    account = _known(owner) if owner else _own_account()
    try:
        usable = run_as(account, ["/bin/sh", "-c", ":"]).returncode == 0
    except (OSError, subprocess.SubprocessError):
        usable = False
    if not usable:
        raise EmbeddedServiceError(
            f"root cannot switch to the account {account.name!r}, and Postgres refuses to run as root; "
            "run fulgor as an ordinary user, or set --database to a server of yours"
        )
    return account


def _known(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as error:
        raise EmbeddedServiceError(
            f"the database belongs to user id {uid}, which has no name here; chown it to an account of this machine"
        ) from error
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _own_account() -> Account:
    for _ in range(10):
        account = _found()
        if account is not None:
            return account
        complaint = _create()
        time.sleep(0.2)  # another program may hold the lock of /etc/passwd
    raise EmbeddedServiceError(
        f"Postgres refuses to run as root, and the account {ACCOUNT_NAME!r} could not be created: {complaint}; "
        "create it, run fulgor as an ordinary user, or set --database to a server of yours"
    )


def _found() -> Account | None:
    try:
        entry = pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _create() -> str:
    program = shutil.which("useradd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        return "there is no useradd on this machine"
    switches = ["--system", "--user-group", "--no-create-home", "--home-dir=/nonexistent", "--shell=/usr/sbin/nologin"]
    with _ACCOUNTS.open() as file:
        # Two useradd at once both find no such account, and the second replaces what the first has made: its user id,
        # under which the first one's owner may already run a server.
        fcntl.flock(file, fcntl.LOCK_EX)
        return "" if _found() else run_as(None, [program, *switches, ACCOUNT_NAME]).stderr.strip()
