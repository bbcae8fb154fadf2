"""The one registry of streams: instruments that announce themselves under ``fulgor.streams``.

A package of somebody else's adds an instrument by an entry point of this group that names a
callable which takes :class:`~fulgor.consumer.settings.Settings` and returns an :class:`Instrument`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

from fulgor.consumer.settings import Settings
from fulgor.consumer.stream import Predictor, Stream
from fulgor.errors import SettingsError
from fulgor.storage.tables import StreamTable

__all__ = ["Instrument", "instrument", "instrument_names", "stream_table"]

_GROUP = "fulgor.streams"


class Instrument(Stream, Protocol):
    """A stream with all that a person touches of it."""

    @property
    def default_topic(self) -> str:
        """Topic or pattern that the survey publishes on."""
        ...

    @property
    def default_model(self) -> Path:
        """Folder of the model that ships with the package."""
        ...

    def load_model(self, folder: Path, device: str, threads: int) -> Predictor:
        """Load a model of this stream, ready to run."""
        ...


def instrument_names() -> list[str]:
    """Return the names of all streams that are installed."""
    return sorted(point.name for point in entry_points(group=_GROUP))


def instrument(name: str, settings: Settings) -> Instrument:
    """Return a stream, set up for use.

    Raises
    ------
    SettingsError
        There is no stream of this name.
    """
    make: Callable[[Settings], Instrument] = _find(name).load()
    return make(settings)


def stream_table(name: str) -> StreamTable:
    """Return a stream's table without setting the stream up: for migrations and queries."""
    factory = _find(name).load()
    table: StreamTable = factory.table
    return table


def _find(name: str) -> EntryPoint:
    for point in entry_points(group=_GROUP):
        if point.name == name:
            return point
    raise SettingsError(f"there is no stream {name!r}; installed are: {', '.join(instrument_names())}")
