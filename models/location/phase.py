"""The waves beneath the envelope: sharper arrival times, once it is known which wave is which.

The ground wave keeps its sign on its way, so for each of both signs a pulse's extrema of that sign are
candidates: the one that the envelope's fit makes most likely, and those a cycle before and after. A
wave moved by a cycle (some 100 microseconds, 30 km) has to fit the others much better to be believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fulgor.models.location.model import Propagation, Sighting
from fulgor.models.location.solve import LEAST_SITES, Solution, solve
from fulgor.preprocessing.leela.geodesy import distance_m

__all__ = ["PHASE", "Refined", "refine"]

PHASE = Propagation(slowness=1.0022, near_us=1.8, far_us=2.4, reach_m=1.0e6, scale=0.93)
"""Of waves near enough that the ground wave leads; from simulated strokes like the envelope's."""

# A wave of the ground begins about this long after the foot of its envelope's edge.
_AFTER_EDGE_US = 45.0
_ROUNDS = 4
# Chi-square per degree of freedom above which the waves do not agree, and the envelope's word stands.
_WORST_FIT = 4.0
# Farther from the envelope's fit than this many of its ellipse's axes, a solution has slipped as a whole.
_FARTHEST = 1.5
_LEAST_CHECKED = LEAST_SITES + 2  # with one check alone a slipped cycle goes unseen
_KM_A_DEGREE = 111.2

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Refined:
    """A solution from waves.

    Parameters
    ----------
    solution : Solution
        Of the pulses whose waves were used.
    cycles : tuple of int
        For each pulse, by how many cycles its wave was moved from the first guess.
    sign : int
        Of the wave: 1 or -1.
    """

    solution: Solution
    cycles: tuple[int, ...]
    sign: int


def refine(
    sightings: Sequence[Sighting], places: Floats, origin_ns: int, envelope: Solution, phase: Propagation
) -> Refined | None:
    """Fit a stroke to waves, both signs tried; None where too few sites are near or their waves disagree.

    Parameters
    ----------
    sightings : sequence of Sighting
        Its pulses.
    places : ndarray
        float64 (n, 2): latitude and longitude of their receivers.
    origin_ns : int
        From which the solutions' times count.
    envelope : Solution
        From the envelopes' edges.
    phase : Propagation
        Of waves.
    """
    distance = distance_m(envelope.lat, envelope.lon, places[:, 0], places[:, 1])
    near = np.flatnonzero(distance < phase.reach_m)
    if len(near) < _LEAST_CHECKED:
        return None
    tried = [_with_sign(sign, sightings, places, near, origin_ns, envelope, phase) for sign in (1, -1)]
    return min((each for each in tried if each is not None), key=lambda each: each.solution.chi_square, default=None)


def _with_sign(
    sign: int,
    sightings: Sequence[Sighting],
    places: Floats,
    near: NDArray[np.intp],
    origin_ns: int,
    envelope: Solution,
    phase: Propagation,
) -> Refined | None:
    """Choose waves of one sign and fit them, turn by turn, until the choice stays."""
    waves = [_waves(sightings[number], sign, origin_ns) for number in near]
    if any(not len(each) for each in waves):
        return None
    edges = [(sightings[n].time_ns - origin_ns) / 1000 + sightings[n].timing.edge_us for n in near]
    first = [int(np.abs(each - edge - _AFTER_EDGE_US).argmin()) for each, edge in zip(waves, edges, strict=True)]
    chosen, start = list(first), (envelope.lat, envelope.lon)
    solution: Solution | None = None
    for _ in range(_ROUNDS):
        times = np.array([each[wave] for each, wave in zip(waves, chosen, strict=True)])
        solution = solve(places[near], times, phase, start)
        if solution is None:
            return None
        start = (solution.lat, solution.lon)
        again = [
            _nearest(each, time - residual, guess)
            for each, time, residual, guess in zip(waves, times, solution.residuals_us, first, strict=True)
        ]
        if again == chosen:
            break
        chosen = again
    if solution is None or not _agrees(solution, envelope):
        return None
    cycles = [0] * len(sightings)
    for number, wave, guess in zip(near.tolist(), chosen, first, strict=True):
        cycles[number] = wave - guess
    return Refined(solution, tuple(cycles), sign)


def _waves(sighting: Sighting, sign: int, origin_ns: int) -> Floats:
    of_sign = sighting.timing.extrema_us[sighting.timing.signs == sign]
    return np.asarray((sighting.time_ns - origin_ns) / 1000 + of_sign, np.float64)


def _nearest(waves: Floats, expected: float, guess: int) -> int:
    """Return the wave nearest to what is expected, at most a cycle from the first guess."""
    low = max(guess - 1, 0)
    return low + int(np.abs(waves[low : guess + 2] - expected).argmin())


def _agrees(solution: Solution, envelope: Solution) -> bool:
    spare = len(solution.residuals_us) - LEAST_SITES
    if solution.chi_square > _WORST_FIT * spare:
        return False
    north = (solution.lat - envelope.lat) * _KM_A_DEGREE
    east = (solution.lon - envelope.lon) * _KM_A_DEGREE * np.cos(np.radians(envelope.lat))
    return bool(np.hypot(east, north) < _FARTHEST * envelope.semi_major_km)
