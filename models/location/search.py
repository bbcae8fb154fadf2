"""The strokes of one stretch of time: those of which most sites are sure are taken first, and their pulses are gone."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fulgor.models.location.certainty import judged
from fulgor.models.location.companies import Company, Network, Pulses
from fulgor.models.location.model import Propagation
from fulgor.models.location.solve import LEAST_SITES
from fulgor.models.location.stroke import Stroke
from fulgor.models.location.trials import Question, Trial, Trials

__all__ = ["Search"]

Floats = NDArray[np.float64]

# Strokes of one flash lie so near each other that their arrival differences agree to this.
_PLACE_US = 40.0
# Sites and method that a stroke needs in each pass: the surest are taken before the others can take their pulses.
_DEMANDS = ((5, "phase"), (5, ""), (4, "phase"), (4, ""), (LEAST_SITES, ""))
# Companies that are tried together with the one whose turn it is: most of them would be next.
_TOGETHER = 32


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
        self._network, self._pulses = network, pulses
        self._trials = Trials(network, phase, pulses)
        self._free = np.ones(len(pulses.site), np.bool_)
        self._number = {s.id: number for number, s in enumerate(pulses.sightings)}
        self._tried: dict[tuple[tuple[int, ...], int], Trial] = {}
        self._known: dict[tuple[int, ...], Stroke | None] = {}

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
                if not self._are_free(company):
                    if company.choice == 0:
                        for other in self._ask(company.seed):
                            heapq.heappush(queue, other)
                    continue
                stroke = self._stroke(company, queue, least)
                if stroke is not None and len(stroke.sightings) >= least and method in ("", stroke.method):
                    found += [self._take(stroke), *self._companions(stroke)]
        return judged(found, self._network, self._pulses, self._free)

    def _ask(self, seed: int) -> list[Company]:
        return self._pulses.propose(seed, self._free)

    def _are_free(self, company: Company) -> bool:
        return bool(self._free[list(company.members)].all())

    def _stands(self, trial: Trial | None) -> bool:
        return trial is not None and bool(self._free[trial.rests_on].all())

    def _stroke(self, company: Company, queue: Sequence[Company], least: int) -> Stroke | None:
        """Return the stroke that a company is, or None; as asked before, if its pulses are still free."""
        if not self._is_known(company):
            trial = self._tried.get(company.question)
            if trial is None or not self._stands(trial):
                self._try(company, queue, least)
            self._known[company.members] = self._tried[company.question].stroke
        return self._known[company.members]

    def _is_known(self, company: Company) -> bool:
        if company.members not in self._known:
            return False
        stroke = self._known[company.members]
        return stroke is None or bool(self._free[self._numbers(stroke)].all())

    def _try(self, company: Company, queue: Sequence[Company], least: int) -> None:
        """Try a company, and with it those whose turn is likely to be next."""
        together = {company.question: company}
        for each in heapq.nsmallest(2 * _TOGETHER, queue):
            if -each.fewer < least or len(together) > _TOGETHER:
                break
            if self._are_free(each) and not self._is_known(each) and not self._stands(self._tried.get(each.question)):
                together.setdefault(each.question, each)
        cells = self._network.cells
        questions = [Question(each.members, *cells[each.cell].tolist()) for each in together.values()]
        self._tried |= zip(together, self._trials.answer(questions, self._free), strict=True)

    def _numbers(self, stroke: Stroke) -> list[int]:
        return [self._number[sighting.id] for sighting in stroke.sightings]

    def _take(self, stroke: Stroke) -> Stroke:
        self._free[self._numbers(stroke)] = False
        return stroke

    def _companions(self, first: Stroke) -> list[Stroke]:
        """Return the other strokes at a stroke's place: of one flash, and too near in time to be parted otherwise."""
        here = first.solution.lat, first.solution.lon
        travel = self._network.propagation.travel_us(self._network.distance(*np.array(here)[:, None])[0])
        struck = self._pulses.time - travel[self._pulses.site]
        found: list[Stroke] = []
        tried: dict[tuple[int, ...], Trial] = {}
        for seed in np.flatnonzero(self._free).tolist():
            members = self._struck_together(seed, struck)
            if members is None:
                continue
            if not self._stands(tried.get(members)):
                later = (self._struck_together(other, struck) for other in range(seed, len(struck)))
                sets = list(dict.fromkeys(each for each in later if each is not None))
                questions = [Question(each, *here) for each in sets]
                tried |= zip(sets, self._trials.answer(questions, self._free), strict=True)
            stroke = tried[members].stroke
            if stroke is not None and len(stroke.sightings) > LEAST_SITES:
                found.append(self._take(stroke))
        return found

    def _struck_together(self, seed: int, struck: Floats) -> tuple[int, ...] | None:
        """Return the free pulses, one a site, that would be of one stroke with a pulse; None if they are too few."""
        if not self._free[seed]:
            return None
        off = np.abs(struck - struck[seed])
        near = np.flatnonzero(self._free & (off < _PLACE_US))
        if len(near) <= LEAST_SITES:
            return None
        ranked = near[np.argsort(off[near], kind="stable")].tolist()
        members = {int(self._pulses.site[number]): number for number in reversed(ranked)}
        return tuple(sorted(members.values())) if len(members) > LEAST_SITES else None
