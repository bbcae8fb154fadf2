"""Simulated alerts as an archive that is made while it is read: each a message of its own.

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
from fulgor.replay.simulate.ztf.night import SimulatedAlert
from fulgor.replay.simulate.ztf.writer import encode

__all__ = ["as_archive"]


class _Simulation:
    """A reader of something that lies nowhere."""

    def __init__(self, alerts: Callable[[], Iterator[SimulatedAlert]], count: int) -> None:
        self._alerts = alerts
        self.size = count
        self.position = 0
        self.listing: list[Entry] | None = None

    def entries(self) -> Iterator[Entry | Other]:
        """Yield the alerts, simulated anew, named by their candid."""
        self.position = 0
        for alert in self._alerts():
            value = encode([alert.record])
            self.position += 1
            yield Entry(f"{alert.record['candid']}.avro", len(value), partial(io.BytesIO, value))

    def fingerprint(self) -> bytes:
        """Return nothing to tell it by: a simulation has no place in the ledger."""
        return b""


def as_archive(alerts: Callable[[], Iterator[SimulatedAlert]], count: int) -> Archive:
    """Return simulated alerts as an archive of single-record containers.

    Parameters
    ----------
    alerts : callable
        Starts the simulation; called each time the archive is iterated.
    count : int
        How many it gives: the archive's size and position count alerts, not bytes.
    """
    return FileArchive(Path("simulation"), _Simulation(alerts, count), split=False, limit=MESSAGE_MAX_BYTES)
