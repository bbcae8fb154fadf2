"""Simulated alerts as an archive that is made while it is read: each a message of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fulgor.replay.archive import Archive
from fulgor.replay.simulate import messages
from fulgor.replay.simulate.ztf.night import SimulatedAlert
from fulgor.replay.simulate.ztf.writer import encode

__all__ = ["as_archive"]


def as_archive(alerts: Callable[[], Iterator[SimulatedAlert]], count: int) -> Archive:
    """Return simulated alerts as an archive of single-record containers, named by their candid.

    Parameters
    ----------
    alerts : callable
        Starts the simulation; called each time the archive is iterated.
    count : int
        How many it gives: the archive's size and position count alerts, not bytes.
    """
    return messages.as_archive(
        lambda: ((f"{alert.record['candid']}.avro", encode([alert.record])) for alert in alerts()), count
    )
