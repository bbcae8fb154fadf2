"""Which strokes are certain: few sites agree by accident where other pulses are around.

What tells is found when all strokes are: pulses that ended in none, and others at the same place. The numbers here
were chosen on simulated strokes (benchmarks/location.py, seeds 401 to 408) so that the ellipses of those that are
certain hold 95 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fulgor.models.location.companies import Network, Pulses
from fulgor.models.location.solve import LEAST_SITES
from fulgor.models.location.strengths import loss, spread
from fulgor.models.location.stroke import Stroke

__all__ = ["judged"]

# So many sites do not agree by accident.
_UNMISTAKABLE = 7
# Fewer may, if more pulses than that are left over around, so near in time that they might be of the stroke instead.
_LEFT_OVER, _AROUND_US = 1, 500.0
# How much the source strengths that sites make out may differ (standard deviation of logarithms).
_ALIKE, _ALIKE_OF_FOUR = 0.25, 0.15
# Only one arrival checks a stroke of four; from beyond, it may well be a skywave's.
_REACH_OF_FOUR_M = 1.5e6
# Strokes of one flash: a stroke near a certain one is not where it is by accident.
_FLASH_NS, _FLASH_KM = 500_000_000, 30.0
_KM_A_DEGREE = 111.2

Bools = NDArray[np.bool_]


def judged(strokes: Sequence[Stroke], network: Network, pulses: Pulses, left_over: Bools) -> list[Stroke]:
    """Return the strokes, those flagged as ambiguous that nothing makes certain.

    Parameters
    ----------
    strokes : sequence of Stroke
        All that were found in a stretch of time.
    network : Network
        The receivers.
    pulses : Pulses
        Of the stretch.
    left_over : ndarray
        bool (pulses,): those that are of no stroke.
    """
    number = {s.id: n for n, s in enumerate(pulses.sightings)}
    left = np.sort(pulses.time[left_over])
    certain = []
    for stroke in strokes:
        members = np.array([number[s.id] for s in stroke.sightings])
        certain.append(_is_certain(stroke, members, network, pulses, left))
    confirmed = _confirmed(strokes, np.array(certain, np.bool_))
    return [replace(stroke, ambiguous=not sure) for stroke, sure in zip(strokes, confirmed.tolist(), strict=True)]


def _is_certain(
    stroke: Stroke, members: NDArray[np.intp], network: Network, pulses: Pulses, left: NDArray[np.float64]
) -> bool:
    """Tell whether a stroke is certain by itself."""
    sites = len(members)
    if sites <= LEAST_SITES:
        return False
    # Waves do not agree by accident: what was mistaken fits the envelopes, but hardly ever the waves as well.
    if sites >= _UNMISTAKABLE or stroke.method == "phase":
        return True
    times = pulses.time[members]
    first, last = np.searchsorted(left, (times.min() - _AROUND_US, times.max() + _AROUND_US))
    place = np.array([stroke.solution.lat]), np.array([stroke.solution.lon])
    distance = network.distance(*place)[:, pulses.site[members]]
    differ = float(spread(pulses.amplitude[members][None], loss(distance))[0])
    if sites == LEAST_SITES + 1 and (distance.max() > _REACH_OF_FOUR_M or differ > _ALIKE_OF_FOUR):
        return False
    return bool(last - first <= _LEFT_OVER and differ <= _ALIKE)


def _confirmed(strokes: Sequence[Stroke], certain: Bools) -> Bools:
    """Return which strokes are certain, or of four sites at least and near in place and time to a certain one."""
    lat, lon = (np.array([getattr(s.solution, name) for s in strokes]) for name in ("lat", "lon"))
    time, sites = (np.array([s.time_ns for s in strokes], np.int64), np.array([len(s.sightings) for s in strokes]))
    confirmed = certain.copy()
    for row in np.flatnonzero(~certain & (sites > LEAST_SITES)).tolist():
        turn = (lon[certain] - lon[row] + 180) % 360 - 180
        east, north = turn * np.cos(np.radians(lat[row])), lat[certain] - lat[row]
        near = _KM_A_DEGREE * np.hypot(east, north) < _FLASH_KM
        confirmed[row] = bool((near & (np.abs(time[certain] - time[row]) < _FLASH_NS)).any())
    return confirmed
