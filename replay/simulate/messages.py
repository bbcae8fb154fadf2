"""Simulated messages as an archive that is made while it is read.

What sends archives to topics (:func:`fulgor.replay.produce.produce`) thereby sends simulations too.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from fulgor.preprocessing.limits import MESSAGE_MAX_BYTES
from fulgor.replay.archive import Archive, FileArchive
from fulgor.replay.files import Entry, Other

__all__ = ["as_archive"]


class _Simulation:
    """A reader of something that lies nowhere."""

    def __init__(self, messages: Callable[[], Iterator[tuple[str, bytes]]], count: int) -> None:
        self._messages = messages
        self.size = count
        self.position = 0
        self.listing: list[Entry] | None = None

    def entries(self) -> Iterator[Entry | Other]:
        """Yield the messages, simulated anew."""
        self.position = 0
        for name, value in self._messages():
            self.position += 1
            yield Entry(name, len(value), partial(io.BytesIO, value))

    def fingerprint(self) -> bytes:
        """Return nothing to tell it by: a simulation has no place in the ledger."""
        return b""


def as_archive(messages: Callable[[], Iterator[tuple[str, bytes]]], count: int) -> Archive:
    """Return simulated messages as an archive.

    Parameters
    ----------
    messages : callable
        Starts the simulation, which gives names and values; called each time the archive is iterated.
    count : int
        How many it gives: the archive's size and position count messages, not bytes.
    """
    return FileArchive(Path("simulation"), _Simulation(messages, count), split=False, limit=MESSAGE_MAX_BYTES)
