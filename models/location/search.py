"""The strokes of one stretch of time: those of which most sites are sure are taken first, and their pulses are gone."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fulgor.models.location.companies import Company, Network, Pulses
from fulgor.models.location.model import Propagation
from fulgor.models.location.phase import refine
from fulgor.models.location.solve import LEAST_SITES, Solution, solve
from fulgor.models.location.strengths import COARSE, FINE, FINE_OF_FEW, are_of_one_source, loss
from fulgor.models.location.stroke import Stroke

__all__ = ["Search"]

_FINE_SIGMAS = 5.0  # from the fit's prediction
_ROUNDS = 4
# Chi-square per degree of freedom above which pulses are not one stroke.
_WORST_FIT = 3.0
_CHECKED = LEAST_SITES + 2
# So many sites do not agree by accident; fewer may, if there are more other pulses around than that.
_UNMISTAKABLE = 6
_OTHERS = {4: 0, 5: 1}
_AROUND_US = 3_000.0
# Strokes of one flash lie so near each other that their arrival differences agree to this.
_PLACE_US = 40.0
# Sites and method that a stroke needs in each pass: the surest are taken before the others can take their pulses.
_DEMANDS = ((5, "phase"), (5, ""), (4, "phase"), (4, ""), (LEAST_SITES, ""))

Floats = NDArray[np.float64]


class Search:
    """Looks for strokes among pulses, and keeps which of them are taken.

    Parameters
    ----------
    network : Network
        The receivers.
    phase : Propagation
        Of waves.
    pulses : Pulses
        Of a stretch of time.
    """

    def __init__(self, network: Network, phase: Propagation, pulses: Pulses) -> None:
        self._network, self._phase, self._pulses = network, phase, pulses
        self._free = np.ones(len(pulses.site), np.bool_)
        self._number = {s.id: number for number, s in enumerate(pulses.sightings)}
        self._tried: dict[tuple[int, ...], Stroke | None] = {}

    def strokes(self) -> list[Stroke]:
        """Return all strokes: the surest first, and with each what struck at the same place."""
        found: list[Stroke] = []
        for least, method in _DEMANDS:
            queue = [company for seed in np.flatnonzero(self._free).tolist() for company in self._ask(seed)]
            heapq.heapify(queue)
            while queue:
                company = heapq.heappop(queue)
                if not self._free[company.seed] or -company.fewer < least:
                    continue
                if not self._free[list(company.members)].all():
                    if company.choice == 0:
                        for other in self._ask(company.seed):
                            heapq.heappush(queue, other)
                    continue
                stroke = self._fitted(company)
                if stroke is not None and len(stroke.sightings) >= least and method in ("", stroke.method):
                    checked = replace(stroke, ambiguous=self._is_ambiguous(stroke))
                    found += [self._take(checked), *self._companions(checked)]
        return found

    def _ask(self, seed: int) -> list[Company]:
        return self._pulses.propose(seed, self._free)

    def _fitted(self, company: Company) -> Stroke | None:
        """Return the stroke that a company is, or None; as asked before, if its pulses are still free."""
        if company.members in self._tried:
            stroke = self._tried[company.members]
            if stroke is None or all(self._free[self._number[s.id]] for s in stroke.sightings):
                return stroke
        stroke = self._tried[company.members] = self._stroke(company.members, self._network.cells[company.cell])
        return stroke

    def _is_ambiguous(self, stroke: Stroke) -> bool:
        """Tell whether other pulses around may have taken the place of its own: few sites agree by accident.

        Waves of five do not: what was mistaken fits the envelopes, but hardly ever the waves as well.
        """
        sites = len(stroke.sightings)
        if sites <= LEAST_SITES:
            return True
        if sites >= _UNMISTAKABLE or stroke.method == "phase":
            return False
        time = self._pulses.time
        times = time[[self._number[sighting.id] for sighting in stroke.sightings]]
        around = (time > times.min() - _AROUND_US) & (time < times.max() + _AROUND_US)
        return int(around.sum()) - sites > _OTHERS[sites]

    def _take(self, stroke: Stroke) -> Stroke:
        self._free[[self._number[sighting.id] for sighting in stroke.sightings]] = False
        return stroke

    def _companions(self, first: Stroke) -> list[Stroke]:
        """Return the other strokes at a stroke's place: of one flash, and too near in time to be parted otherwise."""
        place = np.array([first.solution.lat, first.solution.lon])
        travel = self._network.propagation.travel_us(self._network.distance(*place))
        struck = self._pulses.time - travel[self._pulses.site]
        found = []
        for seed in np.flatnonzero(self._free).tolist():
            if not self._free[seed]:
                continue
            near = np.flatnonzero(self._free & (np.abs(struck - struck[seed]) < _PLACE_US))
            ranked = near[np.argsort(np.abs(struck[near] - struck[seed]), kind="stable")].tolist()
            members = {int(self._pulses.site[number]): number for number in reversed(ranked)}
            if len(members) > LEAST_SITES:
                stroke = self._stroke(tuple(sorted(members.values())), place)
                if stroke is not None and len(stroke.sightings) > LEAST_SITES:
                    found.append(self._take(replace(stroke, ambiguous=self._is_ambiguous(stroke))))
        return found

    def _stroke(self, chosen: tuple[int, ...], place: Floats) -> Stroke | None:
        """Fit, and look again for the sites' nearest pulses, until they stay; None where they are no stroke."""
        start = (float(place[0]), float(place[1]))
        if not self._is_heard_like_one(chosen, self._network.distance(*start), COARSE):
            return None
        solution: Solution | None = None
        nearest: tuple[int, ...] = ()
        for _ in range(_ROUNDS):
            solution = self._solved(chosen, start)
            if solution is None:
                return None
            start = (solution.lat, solution.lon)
            distance = self._network.distance(*start)
            nearest = self._nearest(solution, distance)
            if len(nearest) < LEAST_SITES or nearest == chosen:
                break
            chosen = nearest
        if solution is None or nearest != chosen or _is_no_stroke(solution):
            return None
        # A fit of few sites is checked by little else.
        worst = FINE_OF_FEW if len(chosen) < _CHECKED else FINE
        return self._described(chosen, solution) if self._is_heard_like_one(chosen, distance, worst) else None

    def _solved(self, chosen: Sequence[int], start: tuple[float, float]) -> Solution | None:
        places = self._network.places[self._pulses.site[list(chosen)]]
        return solve(places, self._pulses.time[list(chosen)], self._network.propagation, start)

    def _nearest(self, solution: Solution, distance: Floats) -> tuple[int, ...]:
        """Return each site's pulse that is nearest to where the fit expects it, if near enough."""
        site, propagation = self._pulses.site, self._network.propagation
        expected = solution.time_us + propagation.travel_us(distance)
        off = np.abs(self._pulses.time - expected[site]) / propagation.sigma_us(distance)[site]
        off[~self._free] = np.inf
        found: dict[int, int] = {}
        for number in np.flatnonzero(off < _FINE_SIGMAS).tolist():
            known = found.setdefault(int(site[number]), number)
            if off[number] < off[known]:
                found[int(site[number])] = number
        return tuple(sorted(found.values()))

    def _is_heard_like_one(self, chosen: Iterable[int], distance: Floats, worst: float) -> bool:
        numbers = list(chosen)
        amplitude = np.full((1, len(distance)), np.nan)
        amplitude[0, self._pulses.site[numbers]] = self._pulses.amplitude[numbers]
        return bool(are_of_one_source(amplitude, loss(distance)[None], self._pulses.at_work, worst)[0])

    def _described(self, chosen: Sequence[int], solution: Solution) -> Stroke:
        pulses = self._pulses
        ordered = sorted(chosen, key=lambda number: (pulses.time[number], pulses.sightings[number].id))
        sightings = tuple(pulses.sightings[number] for number in ordered)
        places = self._network.places[pulses.site[ordered]]
        refined = refine(sightings, places, pulses.origin_ns, solution, self._phase)
        if refined is not None:
            return Stroke(sightings, refined.solution, pulses.origin_ns, "phase", refined.cycles)
        again = self._solved(ordered, (solution.lat, solution.lon))
        return Stroke(sightings, again or solution, pulses.origin_ns, "envelope", (0,) * len(sightings))


def _is_no_stroke(solution: Solution) -> bool:
    spare = len(solution.residuals_us) - LEAST_SITES
    return spare > 0 and solution.chi_square > _WORST_FIT * spare
