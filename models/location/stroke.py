"""A stroke as it was located."""

from __future__ import annotations

from dataclasses import dataclass

from fulgor.models.location.model import Sighting
from fulgor.models.location.solve import Solution

__all__ = ["Stroke"]

_US = 1000


@dataclass(frozen=True, slots=True)
class Stroke:
    """A located stroke.

    Parameters
    ----------
    sightings : tuple of Sighting
        Its pulses, one a site, in time order.
    solution : Solution
        Where and when; ``time_us`` counts from `origin_ns`.
    origin_ns : int
        Ns since 1970.
    method : {'phase', 'envelope'}
        What the times are taken from.
    cycles : tuple of int
        By how many cycles each pulse's wave was moved from its first guess; all 0 for the envelope.
    ambiguous : bool
        Only three sites, which nothing checks; or only some more whose pulses may have been mistaken for others.
    """

    sightings: tuple[Sighting, ...]
    solution: Solution
    origin_ns: int
    method: str
    cycles: tuple[int, ...]
    ambiguous: bool = False

    @property
    def time_ns(self) -> int:
        """When it struck, ns since 1970."""
        return self.origin_ns + round(self.solution.time_us * _US)
