"""Companies of pulses are tried for whether they are strokes, many at once.

A trial fits the envelopes' edges and looks again for each site's pulse nearest to what the fit expects,
until they stay; then strengths and chi-square judge, and the waves have their word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fulgor.models.location.arrivals import Arrivals, Minima
from fulgor.models.location.companies import Network, Pulses
from fulgor.models.location.fit import Fits
from fulgor.models.location.model import Propagation
from fulgor.models.location.nearest import Nearest
from fulgor.models.location.phase import Waves, refine
from fulgor.models.location.solve import LEAST_SITES, Solution, solution
from fulgor.models.location.strengths import COARSE, FINE, FINE_OF_FEW, are_of_one_source, loss
from fulgor.models.location.stroke import Stroke

__all__ = ["Question", "Trial", "Trials"]

_FINE_SIGMAS = 5.0  # from the fit's prediction
_ROUNDS = 4
# Chi-square per degree of freedom above which pulses are not one stroke.
_WORST_FIT = 3.0
_CHECKED = LEAST_SITES + 2

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Places = NDArray[np.intp]


class Question(NamedTuple):
    """Whether these pulses are a stroke, somewhere near there."""

    members: tuple[int, ...]
    lat: float
    lon: float


class Trial(NamedTuple):
    """An answer.

    Parameters
    ----------
    stroke : Stroke or None
        None where the pulses are no stroke.
    rests_on : ndarray
        int: the pulses without which another answer might have come out.
    """

    stroke: Stroke | None
    rests_on: Places


class _Passed(NamedTuple):
    """A question whose envelopes agreed."""

    question: int
    members: Places  # (stations,): numbers of pulses, -1 where a station has none
    stations: Places  # (n,): those that have one, in the order of their pulses
    envelope: Solution


class Trials:
    """Tries companies of the pulses of a stretch of time.

    Parameters
    ----------
    network : Network
        The receivers.
    phase : Propagation
        Of waves.
    pulses : Pulses
        Of the stretch.
    """

    def __init__(self, network: Network, phase: Propagation, pulses: Pulses) -> None:
        self._network, self._phase, self._pulses = network, phase, pulses
        self._nearest = Nearest(pulses.time, pulses.site)
        self._waves = Waves(pulses.sightings, pulses.origin_ns)

    def answer(self, questions: Sequence[Question], free: Bools) -> list[Trial]:
        """Return what comes out of each, where only some of the pulses are free to take part."""
        rests_on = np.zeros((len(questions), len(free)), np.bool_)
        passed = list(self._passed(questions, free, rests_on))
        strokes = dict(zip((each.question for each in passed), self._described(passed), strict=True))
        return [Trial(strokes.get(row), np.flatnonzero(used)) for row, used in enumerate(rests_on)]

    def _passed(self, questions: Sequence[Question], free: Bools, rests_on: Bools) -> Iterator[_Passed]:
        """Fit, and look again for the sites' nearest pulses, until they stay; mark all that were looked at."""
        network, rows = self._network, np.arange(len(questions))
        chosen = np.full((len(questions), len(network.places)), -1)
        for number, question in enumerate(questions):
            members = np.array(question.members)
            chosen[number, self._pulses.site[members]] = members
            rests_on[number, members] = True
        lat, lon = np.array([q.lat for q in questions]), np.array([q.lon for q in questions])
        on = self._are_heard_alike(chosen, network.distance(lat, lon), COARSE)
        for left in reversed(range(_ROUNDS)):
            rows, chosen, lat, lon = rows[on], chosen[on], lat[on], lon[on]
            if not len(rows):
                return
            minima = self._fitted(chosen, lat, lon, rough=True)
            lat, lon = minima.lat, minima.lon
            again = self._expected(minima, free)
            row, site = np.nonzero(again >= 0)
            rests_on[rows[row], again[row, site]] = True
            sound = minima.is_sound & (_count(again) >= LEAST_SITES)
            stays = (again == chosen).all(axis=1) | (left == 0)
            for at in np.flatnonzero(sound & stays & self._are_one(minima, chosen, again)).tolist():
                envelope = solution(minima, at, np.flatnonzero(chosen[at] >= 0), network.propagation.scale)
                if envelope is not None:
                    yield _Passed(int(rows[at]), again[at], self._ordered(again[at]), envelope)
            chosen, on = again, sound & ~stays

    def _fitted(self, members: Places, lat: Floats, lon: Floats, *, rough: bool) -> Minima:
        times = np.where(members >= 0, self._pulses.time[members], np.nan)
        return Fits(self._network.stations, self._network.propagation, Arrivals(times, lat, lon), rough=rough).minima()

    def _expected(self, minima: Minima, free: Bools) -> Places:
        """Return each site's pulse that is nearest to where fits expect it, if near enough."""
        propagation = self._network.propagation
        expected = minima.time_us[:, None] + propagation.travel_us(minima.distance_m)
        return self._nearest.among(expected, _FINE_SIGMAS * propagation.sigma_us(minima.distance_m), free)

    def _are_one(self, minima: Minima, fitted: Places, chosen: Places) -> Bools:
        """Tell of fits whether arrival times and strengths are those of one stroke."""
        spare = _count(fitted) - LEAST_SITES
        agree = (spare == 0) | (np.sum(minima.residuals**2, axis=1) <= _WORST_FIT * spare)
        # A fit of few sites is checked by little else.
        worst = np.where(_count(chosen) < _CHECKED, FINE_OF_FEW, FINE)
        return np.asarray(agree & self._are_heard_alike(chosen, minima.distance_m, worst), np.bool_)

    def _are_heard_alike(self, members: Places, distance: Floats, worst: Floats | float) -> Bools:
        amplitude = np.where(members >= 0, self._pulses.amplitude[members], np.nan)
        return are_of_one_source(amplitude, loss(distance), self._pulses.at_work, worst)

    def _ordered(self, members: Places) -> Places:
        """Return the sites that have a pulse, in the order of time (and id: pulses are numbered by it)."""
        sites = np.flatnonzero(members >= 0)
        numbers = members[sites]
        return sites[np.lexsort((numbers, self._pulses.time[numbers]))]

    def _described(self, passed: Sequence[_Passed]) -> list[Stroke | None]:
        """Give the waves their word, and where they have none, the envelopes again from where they led."""
        if not passed:
            return []
        members, network = np.stack([each.members for each in passed]), self._network
        orders, envelopes = [each.stations for each in passed], [each.envelope for each in passed]
        refined = refine(self._waves, members, orders, envelopes, network.stations, self._phase)
        strokes = [
            None if each is None else self._stroke(one, each.solution, "phase", each.cycles)
            for one, each in zip(passed, refined, strict=True)
        ]
        rest = [row for row, stroke in enumerate(strokes) if stroke is None]
        if rest:
            places = np.array([(envelopes[row].lat, envelopes[row].lon) for row in rest])
            minima = self._fitted(members[rest], *places.T, rough=False)
            for at, row in enumerate(rest):
                found = solution(minima, at, orders[row], network.propagation.scale) or envelopes[row]
                strokes[row] = self._stroke(passed[row], found, "envelope", (0,) * len(orders[row]))
        return strokes

    def _stroke(self, passed: _Passed, solution: Solution, method: str, cycles: tuple[int, ...]) -> Stroke:
        sightings = tuple(self._pulses.sightings[number] for number in passed.members[passed.stations].tolist())
        return Stroke(sightings, solution, self._pulses.origin_ns, method, cycles)


def _count(members: Places) -> Places:
    return np.asarray((members >= 0).sum(axis=1), np.intp)
