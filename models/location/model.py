"""What the solver believes of waves: one speed, and an uncertainty that grows with the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fulgor.models.location.timing import Timing

__all__ = ["DEFAULT", "SPEED_OF_LIGHT", "Propagation", "Sighting"]

SPEED_OF_LIGHT = 299_792_458.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Propagation:
    """A wave that keeps one speed, and how little it can be trusted.

    Parameters
    ----------
    slowness : float
        Speed of light over the speed of the wave.
    near_us : float
        Standard deviation of an arrival time over no distance: shape, noise, clock.
    far_us : float
        What each 1,000 km adds, as a standard deviation that grows with the way: ground and ionosphere.
    reach_m : float
        Arrivals from beyond are left out.
    scale : float
        By which the ellipse's axes are stretched so that it holds its share of known strokes.
    """

    slowness: float
    near_us: float
    far_us: float
    reach_m: float = 20e6
    scale: float = 1.0

    def travel_us(self, distance: Floats) -> Floats:
        """Return travel times of distances in metres, microseconds."""
        return distance * (1e6 * self.slowness / SPEED_OF_LIGHT)

    def sigma_us(self, distance: Floats) -> Floats:
        """Return standard deviations of arrival times over distances in metres, microseconds."""
        return np.hypot(self.near_us, self.far_us * distance * 1e-6)


DEFAULT = Propagation(slowness=1.0054, near_us=4.0, far_us=9.0, scale=1.5)
"""Of the envelope's edge. From simulated strokes with another propagation (benchmarks/location.py): a network's own
strokes give its own."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A pulse of one site, as far as location needs it.

    Parameters
    ----------
    id : str
        Unique; settles ties.
    node : str
        The receiver.
    time_ns : int
        Of the window's centre, ns since 1970.
    amplitude : float
        Peak of the signal, counts.
    timing : Timing
        Arrival times relative to `time_ns`.
    """

    id: str
    node: str
    time_ns: int
    amplitude: float
    timing: Timing
