"""Which database a command means: the one it was told, else the embedded one of this machine."""

from __future__ import annotations

from fulgor.consumer.settings import Settings, load_settings
from fulgor.embedded.postgres import EmbeddedPostgres

__all__ = ["database_url", "given_database"]


def database_url(settings: Settings) -> str:
    """Return the database's URL.

    Raises
    ------
    EmbeddedServiceError
        None was named, and the embedded one does not run.
    """
    return settings.database or EmbeddedPostgres().url()


def given_database(flag: str | None) -> str:
    """Return the database's URL for a command whose only setting is ``--database``."""
    return database_url(load_settings({"database": flag}))
