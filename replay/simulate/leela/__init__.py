"""A simulator of lightning waveforms: discharges, propagation, receivers with their noise, a network's delivery.

::

    from fulgor.replay.simulate.leela import simulate

    for chunk in simulate(count=1000, seed=1):
        print(chunk.label, chunk.record["site"], chunk.record["starttime"], chunk.peaks)
"""

from fulgor.replay.simulate.leela.network import NETWORK, Site, sites
from fulgor.replay.simulate.leela.season import DEFAULT_RATE, DEFAULT_SITES, SimulatedChunk, simulate
from fulgor.replay.simulate.leela.station import CLASSES
from fulgor.replay.simulate.leela.writer import messages, write_archive

__all__ = [
    "CLASSES",
    "DEFAULT_RATE",
    "DEFAULT_SITES",
    "NETWORK",
    "SimulatedChunk",
    "Site",
    "messages",
    "simulate",
    "sites",
    "write_archive",
]
