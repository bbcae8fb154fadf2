"""Ways to join anomaly scores into one, and how one is chosen without the class that it is to find.

A rule turns percentiles, one minus which are p-values, into evidence that can be averaged over the scores that an alert
has, with weights: a subset of the scores has equal ones. See combination.py for the models behind the percentiles.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
from anomaly import NAMES
from scipy.stats import norm, rankdata

from fulgor.models.layout import CLASSES

Inner = dict[tuple[frozenset[int], frozenset[int]], np.ndarray]
"""By pair of classes left out and pair of folds asked about: percentiles (N, scores), NaN for other alerts."""

ENDS = 0.005, 1 - 1e-6
"""The percentile in a reference of some hundred alerts is known no better than this at either end."""

PARTS = 4
"""Weights are multiples of one in so many."""

TOGETHER = 10
"""So many of the best weights are averaged where one is not to decide alone."""

RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean percentile": lambda rank: rank,
    "Fisher": lambda rank: -np.log(1 - rank),
    "Stouffer": norm.ppf,
    "harmonic mean p": lambda rank: 1 / (1 - rank),
}

SUBSETS = [np.array(some) / sum(some) for some in product((0, 1), repeat=len(NAMES)) if any(some)]
GRID = [np.array(some) / PARTS for some in product(range(PARTS + 1), repeat=len(NAMES)) if sum(some) == PARTS]


class Candidate(NamedTuple):
    """A rule and the weights (scores,) of the scores that it joins."""

    rule: str
    weights: tuple[float, ...]

    @property
    def scores(self) -> tuple[int, ...]:
        return tuple(np.flatnonzero(self.weights).tolist())

    def __str__(self) -> str:
        even = len({self.weights[k] for k in self.scores}) == 1
        parts = [NAMES[k] if even else f"{self.weights[k]:.2f} {NAMES[k]}" for k in self.scores]
        return parts[0] if len(parts) == 1 else f"{self.rule} of {' + '.join(parts)}"


CANDIDATES = [
    *dict.fromkeys(Candidate(rule, tuple(weights.tolist())) for rule in RULES for weights in (*SUBSETS, *GRID))
]
SINGLE = [CANDIDATES.index(Candidate("mean percentile", tuple(row))) for row in np.eye(len(NAMES)).tolist()]


def joined(ranks: np.ndarray, candidates: Collection[Candidate]) -> np.ndarray:
    """Return what each candidate makes of percentiles (N, scores), (N, candidates); that of 0.5 where it has none."""
    found = np.empty((len(ranks), len(candidates)))
    known = np.isfinite(ranks)
    rules = np.array([one.rule for one in candidates])
    weights = np.array([one.weights for one in candidates]).T
    for rule, of in RULES.items():
        columns = np.flatnonzero(rules == rule)
        evidence = np.where(known, of(np.clip(np.where(known, ranks, 0.5), *ENDS)), 0.0)
        total = known.astype(float) @ weights[:, columns]
        mean = evidence @ weights[:, columns] / np.maximum(total, 1e-9)
        found[:, columns] = np.where(total > 0, mean, of(np.array(0.5)))
    return found


def aurocs(odd: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the area under the curve of each column."""
    places, number = rankdata(values, axis=0)[odd].sum(axis=0), int(odd.sum())
    return (places - number * (number + 1) / 2) / (number * (len(odd) - number))


class Selection:
    """What the inner folds of an outer one tell, as if one class did not exist.

    Parameters
    ----------
    inner : Inner
        Percentiles by the models of the inner folds.
    labels, folds : ndarray
        (N,): class and outer fold of each alert.
    fold, but : int
        The outer fold and the class.
    """

    def __init__(self, inner: Inner, labels: np.ndarray, folds: np.ndarray, fold: int, but: int) -> None:
        self.others = [number for number in range(len(CLASSES)) if number != but]
        usable = (folds != fold) & (labels != but)
        self._labels, self._ranks = labels[usable], {}
        for other in self.others:
            ranks = np.full((len(labels), len(NAMES)), np.nan)
            for number in sorted(set(folds.tolist()) - {fold}):
                here = folds == number
                ranks[here] = inner[frozenset({but, other}), frozenset({fold, number})][here]
            self._ranks[other] = ranks[usable]

    @cached_property
    def found(self) -> dict[tuple[int, int], np.ndarray]:
        """How well each candidate finds a class, by class and by another whose alerts are left out, or -1 for none."""
        values = {one: joined(ranks, CANDIDATES) for one, ranks in self._ranks.items()}
        return {
            (one, without): aurocs((self._labels == one)[kept], values[one][kept])
            for one, without in product(self.others, [-1, *self.others])
            if one != without
            for kept in [self._labels != without]
        }

    def area(self, one: int, candidate: Candidate) -> float:
        """Return how well a candidate finds a class among all others."""
        return float(aurocs(self._labels == one, joined(self._ranks[one], [candidate]))[0])

    def inliers(self, candidate: Candidate) -> np.ndarray:
        """Return what a candidate gives the alerts that play no anomaly, ascending."""
        values = [joined(ranks[self._labels != one], [candidate])[:, 0] for one, ranks in self._ranks.items()]
        return np.sort(np.concatenate(values))


class Way(NamedTuple):
    """A way to choose: by name, from the candidates' mean over some classes to one of them, or to a mean of several."""

    name: str
    choose: Callable[[np.ndarray], Candidate]

    def tried(self, selection: Selection) -> float:
        """Return how well it finds each of the classes by what the others make it choose, on average."""
        return float(np.mean([
            selection.area(one, self.choose(mean_over(selection, [k for k in selection.others if k != one], one)))
            for one in selection.others
        ]))  # fmt: skip

    def chosen(self, selection: Selection) -> Candidate:
        return self.choose(mean_over(selection, selection.others, -1))


def mean_over(selection: Selection, classes: Collection[int], without: int) -> np.ndarray:
    return np.mean([selection.found[one, without] for one in classes], axis=0)


def _best_of(numbers: list[int]) -> Callable[[np.ndarray], Candidate]:
    return lambda means: CANDIDATES[numbers[int(np.argmax(means[numbers]))]]


def _together(numbers: list[int]) -> Callable[[np.ndarray], Candidate]:
    """Return the way that takes the mean of the weights that serve best: one alone is chosen by chance, in part."""

    def choose(means: np.ndarray) -> Candidate:
        best = [CANDIDATES[k] for k in sorted(numbers, key=lambda k: -means[k])[:TOGETHER]]
        return Candidate(best[0].rule, tuple(np.mean([one.weights for one in best], axis=0).tolist()))

    return choose


def _strongest(rule: str) -> Callable[[np.ndarray], Candidate]:
    """Return the way that joins the best single scores, as many of them as serve best."""
    place = {one: k for k, one in enumerate(CANDIDATES)}

    def choose(means: np.ndarray) -> Candidate:
        order = [CANDIDATES[k].scores[0] for k in sorted(SINGLE, key=lambda k: -means[k])]
        nested = [np.isin(range(len(NAMES)), order[:count]) for count in range(1, len(NAMES) + 1)]
        return _best_of([place[rule, tuple((some / some.sum()).tolist())] for some in nested])(means)

    return choose


def _numbers(rule: str, weights: Collection[np.ndarray]) -> list[int]:
    wanted = {tuple(some.tolist()) for some in weights}
    return [k for k, one in enumerate(CANDIDATES) if one.rule == rule and one.weights in wanted]


WAYS = [
    Way("best single score", _best_of(SINGLE)),
    *(Way(f"all, {rule}", _best_of(_numbers(rule, SUBSETS[-1:]))) for rule in RULES),
    *(Way(f"the strongest, {rule}", _strongest(rule)) for rule in RULES),
    *(Way(f"a subset, {rule}", _best_of(_numbers(rule, SUBSETS))) for rule in RULES),
    *(Way(f"weights, {rule}", _best_of(_numbers(rule, GRID))) for rule in RULES),
    *(Way(f"{TOGETHER} best weights together, {rule}", _together(_numbers(rule, GRID))) for rule in RULES),
]
