"""The waves beneath the envelope: sharper arrival times, once it is known which wave is which.

The ground wave keeps its sign on its way, so for each of both signs a pulse's extrema of that sign are
candidates: the one that the envelope's fit makes most likely, and those a cycle before and after. A
wave moved by a cycle (some 100 microseconds, 30 km) has to fit the others much better to be believed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fulgor.models.location.arrivals import Arrivals
from fulgor.models.location.fit import Fits
from fulgor.models.location.model import Propagation, Sighting
from fulgor.models.location.solve import LEAST_SITES, Solution, solution
from fulgor.preprocessing.leela.geodesy import Stations

__all__ = ["PHASE", "Refined", "Waves", "refine"]

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
_SIGNS = (1, -1)

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


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


class Waves:
    """The extrema of pulses.

    Parameters
    ----------
    sightings : sequence of Sighting
        The pulses.
    origin_ns : int
        From which times count.
    """

    def __init__(self, sightings: Sequence[Sighting], origin_ns: int) -> None:
        most = max((len(s.timing.extrema_us) for s in sightings), default=0)
        # One more than the most, so that there is always a last one, which is never.
        self.times = np.full((len(sightings), len(_SIGNS), most + 1), np.inf)
        likely = np.empty((len(sightings), 1, 1))
        for number, sighting in enumerate(sightings):
            start, timing = (sighting.time_ns - origin_ns) / 1000, sighting.timing
            likely[number] = start + timing.edge_us + _AFTER_EDGE_US
            for row, sign in enumerate(_SIGNS):
                of_sign = timing.extrema_us[timing.signs == sign]
                self.times[number, row, : len(of_sign)] = start + of_sign
        # Of each pulse and sign, the wave that its edge makes most likely.
        self.first = np.abs(self.times - likely).argmin(axis=2)


@dataclass(frozen=True, slots=True)
class _Task:
    """Strokes to fit to waves of one sign each; a row a stroke and sign, a column a station."""

    stroke: Places
    sign: Places  # number in _SIGNS
    times: Floats  # (rows, stations, waves); NaN where the station has no part in it
    first: Places

    def some(self, rows: NDArray[np.bool_]) -> _Task:
        return _Task(self.stroke[rows], self.sign[rows], self.times[rows], self.first[rows])

    def arrivals(self, chosen: Places) -> Floats:
        return np.asarray(np.take_along_axis(self.times, chosen[..., None], axis=2)[..., 0], np.float64)

    def nearest(self, expected: Floats) -> Places:
        """Return the waves nearest to what is expected, at most a cycle from the first guess."""
        around = self.first[..., None] + np.arange(-1, 2)
        times = np.take_along_axis(self.times, np.clip(around, 0, self.times.shape[2] - 1), axis=2)
        off = np.where((around < 0) | ~np.isfinite(times), np.inf, np.abs(times - expected[..., None]))
        return np.asarray(self.first + off.argmin(axis=2) - 1, np.intp)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Waves that were chosen for a stroke, and where they lead."""

    stroke: int
    sign: int
    times: Floats  # (stations,)
    cycles: Places
    lat: float
    lon: float
    chi_square: float

    @property
    def rank(self) -> tuple[float, int]:
        return self.chi_square, -self.sign


def refine(
    waves: Waves,
    members: Places,
    orders: Sequence[Places],
    envelopes: Sequence[Solution],
    stations: Stations,
    phase: Propagation,
) -> list[Refined | None]:
    """Fit strokes to waves, both signs tried; None where too few sites are near or their waves disagree.

    Parameters
    ----------
    waves : Waves
        Of all pulses.
    members : ndarray
        int (strokes, stations): the numbers of each stroke's pulses, -1 where a station has none.
    orders : sequence of ndarray
        For each stroke, its stations in the order in which results are wanted.
    envelopes : sequence of Solution
        From the envelopes' edges.
    stations : Stations
        The receivers.
    phase : Propagation
        Of waves.
    """
    lat, lon = np.array([e.lat for e in envelopes]), np.array([e.lon for e in envelopes])
    near = (members >= 0) & (stations.seen_from(lat, lon).distance_m < phase.reach_m)
    best: dict[int, _Choice] = {}
    for choice in _choices(_task(waves, members, near), lat, lon, stations, phase):
        known = best.get(choice.stroke)
        if _agrees(choice, envelopes[choice.stroke]) and (known is None or choice.rank < known.rank):
            best[choice.stroke] = choice
    refined: list[Refined | None] = [None] * len(envelopes)
    if best:
        chosen = list(best.values())
        starts = np.array([each.lat for each in chosen]), np.array([each.lon for each in chosen])
        minima = Fits(stations, phase, Arrivals(np.stack([each.times for each in chosen]), *starts)).minima()
        for row, each in enumerate(chosen):
            order = orders[each.stroke]
            found = solution(minima, row, order[near[each.stroke, order]], phase.scale)
            if found is not None:
                refined[each.stroke] = Refined(found, tuple(each.cycles[order].tolist()), each.sign)
    return refined


def _task(waves: Waves, members: Places, near: NDArray[np.bool_]) -> _Task:
    """Return what is to be fitted: strokes near enough, with each sign of which all their pulses have waves."""
    enough = near.sum(axis=1) >= _LEAST_CHECKED
    has_any = np.isfinite(waves.times[:, :, 0])[members]
    stroke, sign = np.nonzero(enough[:, None] & (has_any | ~near[..., None]).all(axis=1))
    pulses = members[stroke]
    times = np.where(near[stroke][..., None], waves.times[pulses, sign[:, None]], np.nan)
    return _Task(stroke, sign, times, waves.first[pulses, sign[:, None]])


def _choices(task: _Task, lat: Floats, lon: Floats, stations: Stations, phase: Propagation) -> Iterator[_Choice]:
    """Choose waves and fit them, turn by turn, until the choice stays."""
    chosen, lat, lon = task.first, lat[task.stroke], lon[task.stroke]
    for left in reversed(range(_ROUNDS)):
        times = task.arrivals(chosen)
        minima = Fits(stations, phase, Arrivals(times, lat, lon), rough=True).minima()
        expected = times - minima.residuals * minima.sigma_us
        again = np.where(np.isnan(times), chosen, task.nearest(expected))
        stays = (again == chosen).all(axis=1) | (left == 0)
        chi_square = np.sum(minima.residuals**2, axis=1).tolist()
        for row in np.flatnonzero(minima.is_sound & stays).tolist():
            cycles = np.where(np.isnan(times[row]), 0, again[row] - task.first[row])
            sign, place = _SIGNS[task.sign[row]], (float(minima.lat[row]), float(minima.lon[row]))
            yield _Choice(int(task.stroke[row]), sign, times[row], cycles, *place, chi_square[row])
        on = minima.is_sound & ~stays
        if not on.any():
            return
        task, chosen, lat, lon = task.some(on), again[on], minima.lat[on], minima.lon[on]


def _agrees(choice: _Choice, envelope: Solution) -> bool:
    spare = int(np.isfinite(choice.times).sum()) - LEAST_SITES
    if choice.chi_square > _WORST_FIT * spare:
        return False
    north = (choice.lat - envelope.lat) * _KM_A_DEGREE
    east = (choice.lon - envelope.lon) * _KM_A_DEGREE * np.cos(np.radians(envelope.lat))
    return bool(np.hypot(east, north) < _FARTHEST * envelope.semi_major_km)
