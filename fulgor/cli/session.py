"""A connection for one command that reads the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from fulgor.consumer.settings import Settings
    from fulgor.storage.database import Connection

__all__ = ["DATABASE", "STREAM", "opened", "opened_by"]

DATABASE = typer.Option(None, "--database", help="Postgres URL, without a password; default: the embedded one.")
STREAM = typer.Option(None, "--stream", help="Only this instrument's.")


@contextmanager
def opened(database: str | None) -> Iterator[Connection]:
    """Connect to the database that a command means; its errors become ours.

    Parameters
    ----------
    database : str or None
        What ``--database`` says.
    """
    from fulgor.consumer.settings import load_settings

    with opened_by(load_settings({"database": database})) as connection:
        yield connection


@contextmanager
def opened_by(settings: Settings) -> Iterator[Connection]:
    """Connect to the database that settings name, or to the embedded one; its errors become ours."""
    from fulgor.cli.services import database_url
    from fulgor.storage.database import connect, translated

    url = database_url(settings)
    with translated(url), connect(url, application="fulgor query") as connection:
        yield connection
