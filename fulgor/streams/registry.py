"""The one registry of streams: instruments that announce themselves under ``fulgor.streams``.

A package of somebody else's adds an instrument by an entry point of this group that names a
callable which takes :class:`~fulgor.consumer.settings.Settings` and returns an :class:`Instrument`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol

from fulgor.consumer.settings import Settings
from fulgor.consumer.stream import Predictor, Stream
from fulgor.errors import FulgorError, SettingsError
from fulgor.storage.tables import StreamTable

__all__ = ["Instrument", "default_topics", "instrument", "instrument_names", "offers", "stream_table"]

_GROUP = "fulgor.streams"
_PROTOCOL = (
    "name", "table", "preprocessing_hash", "decode", "prepare", "default_topic", "default_model", "load_model",
)  # fmt: skip


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
    return sorted({point.name for point in entry_points(group=_GROUP)})


def offers() -> list[dict[str, str]]:
    """Return the name, package, version and object of each stream that is installed; nothing is loaded for it."""
    found = (
        {
            "name": point.name,
            "package": point.dist.name if point.dist else "",
            "version": point.dist.version if point.dist else "",
            "object": point.value,
        }
        for point in entry_points(group=_GROUP)
    )
    return sorted(found, key=lambda offer: (offer["name"], offer["package"]))


def instrument(name: str, settings: Settings) -> Instrument:
    """Return a stream, set up for use.

    Raises
    ------
    SettingsError
        There is no stream of this name, or what a package offers under it is none.
    """
    make: Callable[[Settings], Instrument] = _load(name)
    try:
        made = make(settings)
    except FulgorError:
        raise
    except Exception as error:  # somebody else's code: whatever it raises, its package is named
        raise _broken(name, f"it cannot be set up: {type(error).__name__}: {error}") from error
    lacking = [attribute for attribute in _PROTOCOL if not hasattr(made, attribute)]
    if lacking:
        raise _broken(name, f"it lacks {', '.join(lacking)}")
    if not name == made.name == made.table.stream:
        raise _broken(name, f"it calls itself {made.name!r} and its table's stream {made.table.stream!r}")
    return made


def default_topics() -> dict[str, str]:
    """Return the topic or pattern that each installed stream's survey publishes on, by the stream's name."""
    found = {name: getattr(_load(name), "default_topic", None) for name in instrument_names()}
    return {name: topic for name, topic in found.items() if isinstance(topic, str)}


def stream_table(name: str) -> StreamTable:
    """Return a stream's table without setting the stream up: for migrations and queries."""
    table = getattr(_load(name), "table", None)
    if not isinstance(table, StreamTable):
        raise _broken(name, "it has no attribute 'table' of type StreamTable")
    return table


def _load(name: str) -> Any:
    point = _find(name)
    try:
        return point.load()
    except Exception as error:  # somebody else's code: whatever it raises, its package is named
        raise _broken(name, f"it cannot be loaded: {type(error).__name__}: {error}") from error


def _broken(name: str, what: str) -> SettingsError:
    point = _find(name)
    package = f"package {point.dist.name}" if point.dist else "an unnamed package"
    return SettingsError(f"stream {name!r} ({point.value}, of {package}): {what}; mend or uninstall that package")


def _find(name: str) -> EntryPoint:
    found = list(entry_points(group=_GROUP, name=name))
    if not found:
        raise SettingsError(f"there is no stream {name!r}; installed are: {', '.join(instrument_names())}")
    if len(found) > 1:
        packages = " and ".join(sorted(point.dist.name if point.dist else point.value for point in found))
        raise SettingsError(f"the packages {packages} both offer a stream {name!r}: uninstall all but one of them")
    return found[0]
