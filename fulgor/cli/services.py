"""Which database and which models a command means: those it was told, else the embedded one, and the live one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulgor.consumer.settings import Settings, load_settings
from fulgor.embedded.home import home_folder
from fulgor.embedded.postgres import EmbeddedPostgres

if TYPE_CHECKING:
    from fulgor.consumer.modelsource import ModelSource
    from fulgor.streams.registry import Instrument

__all__ = ["database_url", "given_database", "model_source"]


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


def model_source(settings: Settings, stream: Instrument, database: str) -> ModelSource:
    """Return where a stream's models come from: the database, this machine's store, the package."""
    from functools import partial

    from fulgor.consumer.modelsource import ModelSource
    from fulgor.models.store import ModelStore

    store = ModelStore(settings.model_store or home_folder() / "models")
    load = partial(stream.load_model, device=settings.device, threads=settings.threads)
    return ModelSource(database, store, load, stream.default_model)
