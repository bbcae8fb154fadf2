"""Which pulses are one stroke: every pulse asks where on the map the others would fit with it.

For a pulse and each cell of a coarse grid, the other sites' arrival times follow; the cell at which
most sites have a pulse near theirs is where the fit begins. The strokes with most sites are taken
first, and a pulse that is taken is gone. What comes out depends on the set of pulses alone, not on
their order.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fulgor.models.location.model import DEFAULT, Propagation, Sighting
from fulgor.models.location.phase import PHASE, refine
from fulgor.models.location.solve import LEAST_SITES, Solution, solve
from fulgor.preprocessing.leela.geodesy import distance_m

__all__ = ["Locator", "Stroke"]

_CELL_DEG = 0.8
_MARGIN_DEG = 8.0  # of the map beyond the outermost receivers
_COARSE_US = 220.0  # a wave's way through half a cell, and an edge's uncertainty
_FINE_SIGMAS = 5.0  # from the fit's prediction
_ROUNDS = 4
# Chi-square per degree of freedom above which pulses are not one stroke.
_WORST_FIT = 3.0
# Amplitudes fall with the distance and some more; so much may they differ from that (standard deviation of logarithms).
_LOSS_M, _NEAREST_M = 3.0e6, 5e4
_WORST_STRENGTHS, _COARSE_STRENGTHS = 0.35, 0.6
# A receiver at work that should get this many times what the weakest one got, and has no pulse, contradicts.
_HEARD = 2.5
_SITES_A_CONTRADICTION = 5
_CHOICES = 4  # companies that a pulse proposes
_LOOKED_AT = 60  # cells, to find them
_US = 1000
# So many sites do not agree by accident.
_UNMISTAKABLE = 6
_AROUND_US = 3_000.0
# Strokes of one flash lie so near each other that their arrival differences agree to this.
_PLACE_US = 40.0
# Sites and method that a stroke needs in each pass: the surest are taken before the others can take their pulses.
_DEMANDS = ((5, "phase"), (5, ""), (4, "phase"), (4, ""), (LEAST_SITES, ""))

Floats = NDArray[np.float64]


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
        Only three sites, which nothing checks; or only four or five amid other pulses, which may have been
        mistaken for each other.
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


class Locator:
    """Finds strokes among pulses of a network.

    Parameters
    ----------
    nodes : mapping of str to (float, float)
        Latitude and longitude of each receiver.
    envelope, phase : Propagation
        Speed and uncertainty of edges, and of waves.

    Raises
    ------
    ValueError
        Fewer than three receivers.
    """

    def __init__(
        self,
        nodes: Mapping[str, tuple[float, float]],
        envelope: Propagation = DEFAULT,
        phase: Propagation = PHASE,
    ) -> None:
        if len(nodes) < LEAST_SITES:
            raise ValueError(f"{len(nodes)} receivers: location needs {LEAST_SITES}")
        self._index = {node: number for number, node in enumerate(sorted(nodes))}
        self._places = np.array([nodes[node] for node in sorted(nodes)], np.float64)
        self._envelope, self._phase = envelope, phase
        self._cells = _grid(self._places)
        distance = distance_m(*self._cells.T[:, :, None], *self._places.T[:, None, :])
        self._travel_us = envelope.travel_us(distance)

    @property
    def span_ns(self) -> int:
        """Longest time between two arrivals of one stroke."""
        one, other = self._places[:, None, :], self._places[None, :, :]
        farthest = distance_m(one[..., 0], one[..., 1], other[..., 0], other[..., 1]).max()
        return int((self._envelope.travel_us(farthest) + _COARSE_US) * _US)

    def locate(self, sightings: Sequence[Sighting]) -> list[Stroke]:
        """Return the strokes among pulses in time order, each pulse in at most one.

        Parameters
        ----------
        sightings : sequence of Sighting
            Of a stretch of time, in any order; those of unknown receivers are left out.
        """
        known = sorted((s for s in sightings if s.node in self._index), key=lambda s: s.id)
        return sorted(_Search(self, known).strokes(), key=lambda stroke: (stroke.time_ns, stroke.sightings[0].id))


class _Company(NamedTuple):
    """Pulses that may be one stroke; the first fields are its rank."""

    fewer: int
    misfit_us: float
    id: str
    choice: int
    seed: int
    members: tuple[int, ...]
    cell: int


class _Search:
    """The pulses of one stretch, and which of them are taken."""

    def __init__(self, locator: Locator, sightings: Sequence[Sighting]) -> None:
        self._net, self._all = locator, sightings
        self._origin_ns = min((s.time_ns for s in sightings), default=0)
        self._site = np.array([locator._index[s.node] for s in sightings], np.intp)
        self._time = np.array([(s.time_ns - self._origin_ns) / _US + s.timing.edge_us for s in sightings])
        self._amplitude = np.log([max(s.amplitude, 1e-3) for s in sightings])
        self._at_work = np.unique(self._site)
        self._free = np.ones(len(sightings), np.bool_)
        self._number = {s.id: number for number, s in enumerate(sightings)}
        self._tried: dict[tuple[int, ...], Stroke | None] = {}
        self._span_us = locator.span_ns / _US

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

    def _fitted(self, company: _Company) -> Stroke | None:
        """Return the stroke that a company is, or None; as asked before, if its pulses are still free."""
        if company.members in self._tried:
            stroke = self._tried[company.members]
            if stroke is None or all(self._free[self._number[s.id]] for s in stroke.sightings):
                return stroke
        stroke = self._tried[company.members] = self._stroke(company.members, self._net._cells[company.cell])
        return stroke

    def _is_ambiguous(self, stroke: Stroke) -> bool:
        """Tell whether other pulses around may have taken the place of its own: few sites agree by accident."""
        sites = len(stroke.sightings)
        if sites <= LEAST_SITES or sites >= _UNMISTAKABLE:
            return sites <= LEAST_SITES
        times = self._time[[self._number[sighting.id] for sighting in stroke.sightings]]
        around = (self._time > times.min() - _AROUND_US) & (self._time < times.max() + _AROUND_US)
        return int(around.sum()) - sites > 1

    def _take(self, stroke: Stroke) -> Stroke:
        self._free[[self._number[sighting.id] for sighting in stroke.sightings]] = False
        return stroke

    def _companions(self, first: Stroke) -> list[Stroke]:
        """Return the other strokes at a stroke's place: of one flash, and too near in time to be parted otherwise."""
        place = np.array([first.solution.lat, first.solution.lon])
        distance = distance_m(place[0], place[1], self._net._places[:, 0], self._net._places[:, 1])
        travel = self._net._envelope.travel_us(distance)
        struck = self._time - travel[self._site]
        found = []
        for seed in np.flatnonzero(self._free).tolist():
            if not self._free[seed]:
                continue
            near = np.flatnonzero(self._free & (np.abs(struck - struck[seed]) < _PLACE_US))
            ranked = near[np.argsort(np.abs(struck[near] - struck[seed]), kind="stable")].tolist()
            members = {int(self._site[number]): number for number in reversed(ranked)}
            if len(members) > LEAST_SITES:
                stroke = self._stroke(tuple(sorted(members.values())), place)
                if stroke is not None and len(stroke.sightings) > LEAST_SITES:
                    found.append(self._take(replace(stroke, ambiguous=self._is_ambiguous(stroke))))
        return found

    def _ask(self, seed: int) -> list[_Company]:
        """Return what a pulse proposes: its best companies, each with the cell of the map where it fits best."""
        near = np.flatnonzero(self._free & (np.abs(self._time - self._time[seed]) <= self._span_us))
        sites = [site for site in np.unique(self._site[near]).tolist() if site != self._site[seed]]
        if len(sites) + 1 < LEAST_SITES:
            return []
        travel = self._net._travel_us
        ahead = travel - travel[:, [self._site[seed]]]
        count = np.zeros(len(travel), np.int64)
        misfit = np.zeros(len(travel))
        chosen = []
        for site in sites:
            here = near[self._site[near] == site]
            apart = np.abs(self._time[seed] + ahead[:, [site]] - self._time[here])
            best = apart.argmin(axis=1)
            off = apart[np.arange(len(best)), best]
            fits = off < _COARSE_US
            count += fits
            misfit += np.where(fits, off, 0.0)
            chosen.append(np.where(fits, here[best], -1))
        mean = misfit / np.maximum(count, 1)
        company = np.stack(chosen, axis=1)
        proposed: dict[tuple[int, ...], _Company] = {}
        for cell in np.lexsort((mean, -count))[:_LOOKED_AT].tolist():
            members = tuple(sorted({seed, *company[cell].tolist()} - {-1}))
            if len(members) < LEAST_SITES or len(proposed) == _CHOICES:
                break
            if members not in proposed:
                rank = (-len(members), float(mean[cell]), self._all[seed].id, len(proposed))
                proposed[members] = _Company(*rank, seed, members, cell)
        return list(proposed.values())

    def _stroke(self, chosen: tuple[int, ...], place: Floats) -> Stroke | None:
        """Fit, and look again for the sites' nearest pulses, until they stay; None where they are no stroke."""
        start = (float(place[0]), float(place[1]))
        if not self._is_heard_like_one(chosen, *start, _COARSE_STRENGTHS):
            return None
        solution: Solution | None = None
        nearest: tuple[int, ...] = ()
        for _ in range(_ROUNDS):
            solution = solve(self._net._places[self._site[list(chosen)]], self._time[list(chosen)],
                             self._net._envelope, start)  # fmt: skip
            if solution is None:
                return None
            start = (solution.lat, solution.lon)
            nearest = self._nearest(solution)
            if len(nearest) < LEAST_SITES or nearest == chosen:
                break
            chosen = nearest
        if solution is None or nearest != chosen or _is_no_stroke(solution):
            return None
        if not self._is_heard_like_one(chosen, *start, _WORST_STRENGTHS):
            return None
        return self._described(chosen, solution)

    def _nearest(self, solution: Solution) -> tuple[int, ...]:
        """Return each site's pulse that is nearest to where the fit expects it, if near enough."""
        distance = distance_m(solution.lat, solution.lon, self._net._places[:, 0], self._net._places[:, 1])
        expected = solution.time_us + self._net._envelope.travel_us(distance)
        off = np.abs(self._time - expected[self._site]) / self._net._envelope.sigma_us(distance)[self._site]
        off[~self._free] = np.inf
        found = []
        for site in np.unique(self._site[off < _FINE_SIGMAS]).tolist():
            here = np.flatnonzero(self._site == site)
            found.append(int(here[off[here].argmin()]))
        return tuple(sorted(found))

    def _is_heard_like_one(self, chosen: Sequence[int], lat: float, lon: float, worst: float) -> bool:
        """Tell whether the strengths are what distance makes of one source, and those who hear nothing are far.

        Receivers are taken to be of equal gain.
        """
        places = self._net._places
        distance = np.maximum(distance_m(lat, lon, places[:, 0], places[:, 1]), _NEAREST_M)
        loss = np.log(distance) + distance / _LOSS_M
        sites, amplitudes = self._site[list(chosen)], self._amplitude[list(chosen)]
        source = amplitudes + loss[sites]
        if np.std(source) > worst:
            return False
        silent = np.setdiff1d(self._at_work, sites)
        missed = source.mean() - loss[silent] > amplitudes.min() + np.log(_HEARD)
        return int(missed.sum()) <= len(sites) // _SITES_A_CONTRADICTION

    def _described(self, chosen: Sequence[int], solution: Solution) -> Stroke:
        ordered = sorted(chosen, key=lambda number: (self._time[number], self._all[number].id))
        sightings = tuple(self._all[number] for number in ordered)
        places = self._net._places[self._site[ordered]]
        refined = refine(sightings, places, self._origin_ns, solution, self._net._phase)
        if refined is not None:
            return Stroke(sightings, refined.solution, self._origin_ns, "phase", refined.cycles)
        again = solve(places, self._time[ordered], self._net._envelope, (solution.lat, solution.lon))
        return Stroke(sightings, again or solution, self._origin_ns, "envelope", (0,) * len(sightings))


def _is_no_stroke(solution: Solution) -> bool:
    spare = len(solution.residuals_us) - LEAST_SITES
    return spare > 0 and solution.chi_square > _WORST_FIT * spare


def _grid(places: Floats) -> Floats:
    """Return cells of about equal area around the receivers: float64 (cells, 2), latitude and longitude."""
    (south, west), (north, east) = places.min(axis=0) - _MARGIN_DEG, places.max(axis=0) + _MARGIN_DEG
    rows = []
    for lat in np.arange(max(south, -89.0), min(north, 89.0), _CELL_DEG):
        lon = np.arange(west, east, _CELL_DEG / np.cos(np.radians(lat)))
        rows.append(np.stack([np.full(len(lon), lat), lon], axis=1))
    return np.concatenate(rows)
