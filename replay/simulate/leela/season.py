"""Simulated chunks in the order in which a network delivers them, each with its truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fulgor.errors import SettingsError
from fulgor.replay.simulate.leela.arrivals import Arrival, arrival
from fulgor.replay.simulate.leela.network import sites
from fulgor.replay.simulate.leela.receiver import BLOCK, INTERVAL_NS, SMPLINT
from fulgor.replay.simulate.leela.sources import Discharge
from fulgor.replay.simulate.leela.station import Sent, Station
from fulgor.replay.simulate.leela.storms import flashes

__all__ = ["DEFAULT_RATE", "DEFAULT_SITES", "Mode", "SimulatedChunk", "simulate"]

DEFAULT_SITES = 8
DEFAULT_RATE = 3.0
"""Flashes per second."""

Mode = Literal["raw", "centred"]

_LATE_SHARE, _LATEST_S = 0.06, 1.02
_RECEPTION_S = (1.5, 6.5)


@dataclass(frozen=True, slots=True)
class SimulatedChunk:
    """One message.

    Parameters
    ----------
    record : dict
        Of `fulgor.preprocessing.leela.CHUNK_SCHEMA`.
    label : str
        Its class.
    seen : tuple of Arrival
        Visible pulses whose peak lies in it.
    peaks : tuple of float
        Their peaks' samples within it, with fractions.
    delivered_ns : int
        When the network delivers it: some come late, so this is the order of the messages.
    """

    record: dict[str, Any]
    label: str
    seen: tuple[Arrival, ...]
    peaks: tuple[float, ...]
    delivered_ns: int

    @property
    def name(self) -> str:
        """Site and start: no two chunks of a simulation share them."""
        return f"{self.record['site']}-{self.record['starttime']}"


def simulate(
    count: int, seed: int, *, mode: Mode = "raw", site_count: int = DEFAULT_SITES, rate: float = DEFAULT_RATE
) -> Iterator[SimulatedChunk]:
    """Yield chunks as the network delivers them.

    Parameters
    ----------
    count : int
        How many.
    seed : int
        The same seed gives the same chunks.
    mode : {'raw', 'centred'}
        Contiguous raw chunks as of 2023, or band-passed peak-centred ones as of 2018.
    site_count : int
        Receivers, 5 to 11.
    rate : float
        Mean flashes per second.

    Raises
    ------
    SettingsError
        A number out of range.
    """
    if count < 1 or not 0 < rate <= 100:
        raise SettingsError(f"--count {count}, --flashes {rate}: at least 1 chunk, and up to 100 flashes per second")
    left, stretch = count, 0
    while left > 0:
        for chunk in _stretch(seed, stretch, mode, site_count, rate)[:left]:
            yield chunk
            left -= 1
        stretch += 1


def _stretch(seed: int, stretch: int, mode: Mode, site_count: int, rate: float) -> list[SimulatedChunk]:
    discharges = flashes(seed, stretch, rate)
    random = np.random.default_rng([seed, 6, stretch])
    chunks = [
        _chunk(sent, random)
        for site in sites(site_count)
        for sent in _sent(Station(site, seed, stretch), site, discharges, mode)
    ]
    return sorted(chunks, key=lambda chunk: (chunk.delivered_ns, chunk.name))


def _sent(station: Station, site: Any, discharges: list[Discharge], mode: Mode) -> Iterator[Sent]:
    station.hear(arrival(discharge, site, station.origin_ns) for discharge in discharges)
    if mode == "centred":
        return station.centred()
    station.disturb()
    return station.raw()


def _chunk(sent: Sent, random: np.random.Generator) -> SimulatedChunk:
    late = random.random() < _LATE_SHARE
    delivered = sent.start_ns + round(random.uniform(0, _LATEST_S) * 1e9) * late
    whole = bool((np.rint(sent.samples) == sent.samples).all())
    dtype = "<i2" if whole else "<f4"
    within = (sent.start_ns % 1_000_000_000) / (BLOCK * INTERVAL_NS)
    record = {
        "site": sent.site.node.site, "node": sent.site.node.node, "timeoffset": 0.0,
        "starttime": sent.start_ns, "endtime": sent.start_ns + round((BLOCK - 1) * INTERVAL_NS),
        "rxtime": round((delivered + random.uniform(*_RECEPTION_S) * 1e9) / 1000),
        "smplint": SMPLINT, "realsmplint": INTERVAL_NS * 1e-9, "numsmpls": len(sent.samples),
        "packetinsec": int(within), "energy": int(np.abs(sent.samples - sent.samples.mean()).sum() / 8),
        "clipped": sent.clipped, "dtype": dtype, "wvfmdata": sent.samples.astype(dtype).tobytes(),
    }  # fmt: skip
    return SimulatedChunk(record, str(sent.label), sent.seen, sent.peaks, delivered)
