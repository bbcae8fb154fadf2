"""What is always measured together: a method, its shorter histories, and nights and origins it has never seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ModelError
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import Index, Split, group_splits, outer_folds, splits
from fulgor.models.evaluation.result import Evaluation
from fulgor.models.evaluation.validation import Method, Predictor, cross_validate, predict

__all__ = [
    "COUNTS",
    "FEWEST",
    "GROUPED",
    "NIGHT",
    "ORIGIN",
    "Suite",
    "at_most",
    "by_detections",
    "is_method",
]

COUNTS: Final = (1, 2, 3, 4, 5)
"""Numbers of detections to which histories are truncated; alerts that have the largest are compared."""

FEWEST: Final = 5
"""Objects of a class without which it is left out of that comparison."""

NIGHT: Final = "nights unseen"
ORIGIN: Final = "origins unseen"

GROUPED: Final = ("metadata only", "metadata without counts and positions")
"""Rulers that are also measured on nights and origins they have not seen."""

Watch = Callable[[str], None]
"""Told the name of each measurement before it begins."""


class Suite:
    """The measurements of one set of alerts.

    Parameters
    ----------
    alerts : AlertSet
        All there are; methods may train on the unlabelled ones.
    watch : callable, optional
        Told of each measurement.
    known : mapping of str to Evaluation, optional
        By name, what an earlier run has measured of the same alerts: those methods are not measured again.

    Attributes
    ----------
    folds : ndarray
        int64 (N,): outer fold of each alert.
    rich : ndarray
        int64: labelled alerts with the largest of :data:`COUNTS` detections, which truncation compares;
        of classes with :data:`FEWEST` such objects, for the recall of one asteroid would weigh as much as all stars.
    """

    def __init__(
        self, alerts: AlertSet, watch: Watch | None = None, known: Mapping[str, Evaluation] | None = None
    ) -> None:
        self.alerts = alerts
        self.folds = outer_folds(alerts.objects, alerts.labels)
        self.rich = _rich(alerts)
        self._tell = watch or (lambda _: None)
        self._known = known or {}

    @cached_property
    def shorter(self) -> dict[str, AlertSet]:
        """The alerts with the histories of the rich ones truncated, by what the tables call it."""
        return {at_most(count): self.alerts.truncated(count, self.rich) for count in COUNTS if len(self.rich)}

    def measure(self, method: Method, *, groups: bool) -> Iterator[Evaluation]:
        """Yield the evaluations of a method: in the outer folds, with truncated histories, and by groups.

        Parameters
        ----------
        method : Method
            What is measured.
        groups : bool
            Whether to leave out nights and origins as well: as many fits as there are of both.

        Raises
        ------
        ModelError
            What is known of the method was measured on other alerts.
        """
        names = [method.name, *(f"{method.name}, {what}" for what in self.shorter)]
        if all(name in self._known for name in names):
            yield from (self._again(name) for name in names)
        else:
            self._tell(method.name)
            yield from cross_validate(method, self.alerts, splits(self.folds), self.shorter, self.rich).values()
        for what, of in ((NIGHT, self.alerts.nights()), (ORIGIN, self.alerts.origins)):
            if groups and len(set(of[self.alerts.labelled].tolist())) > 1:
                yield self._left_out(method, of, what)

    def measure_fixed(self, name: str, predictor: Predictor, index: Index) -> Iterator[Evaluation]:
        """Yield the evaluations of a model that was fitted elsewhere, on some alerts, and with shorter histories."""
        self._tell(name)
        yield predict(name, predictor, self.alerts, index)
        for what, shorter in self.shorter.items():
            yield predict(f"{name}, {what}", predictor, shorter, np.intersect1d(index, self.rich))

    def rulers(self, *, groups: bool) -> Iterator[Evaluation]:
        """Yield the evaluations of every ruler; ``groups`` concerns those in :data:`GROUPED`."""
        from fulgor.models.evaluation.rulers import RULERS  # scikit-learn takes seconds to import

        for ruler in RULERS:
            yield from self.measure(ruler, groups=groups and ruler.name in GROUPED)

    def _again(self, name: str) -> Evaluation:
        """Return what is known under a name."""
        found = self._known[name]
        labels = dict(zip(self.alerts.ids.tolist(), self.alerts.labels.tolist(), strict=True))
        if any(labels.get(one) != label for one, label in zip(found.ids.tolist(), found.labels.tolist(), strict=True)):
            raise ModelError(f"{name!r} was measured on other alerts or labels; measure everything again")
        return found

    def _left_out(self, method: Method, groups: NDArray[np.str_], what: str) -> Evaluation:
        """Return the evaluation in which each group of alerts is told by a fit that saw none of it."""
        if (name := f"{method.name}, {what}") in self._known:
            return self._again(name)
        self._tell(name)
        labelled = np.zeros(len(self.alerts), dtype=bool)
        labelled[self.alerts.labelled] = True
        found = [split for split in group_splits(groups, self.alerts.objects, labelled) if self._can_learn(split)]
        return cross_validate(_Named(method, name), self.alerts, found)[""]

    def _can_learn(self, split: Split) -> bool:
        labels = self.alerts.labels[split.train]
        return len(np.unique(labels[labels >= 0])) > 1


def is_method(name: str) -> bool:
    """Return whether an evaluation is of a method as it is, not of shorter histories or of unseen groups."""
    return not name.endswith(tuple(f", {what}" for what in (NIGHT, ORIGIN, *map(at_most, COUNTS))))


def by_detections(found: Mapping[str, Evaluation], name: str) -> dict[int, Evaluation]:
    """Return a method's evaluations by number of detections, on the same alerts throughout.

    Parameters
    ----------
    found : mapping of str to Evaluation
        By name, as :class:`Suite` gives them.
    name : str
        The method.
    """
    names = {count: f"{name}, {at_most(count)}" for count in COUNTS}
    return {count: found[one] for count, one in names.items() if one in found}


class _Named:
    """A method under another name."""

    def __init__(self, method: Method, name: str) -> None:
        self.name = name
        self._method = method

    def fit(self, alerts: AlertSet, train: Index) -> Predictor:
        return self._method.fit(alerts, train)


def _rich(alerts: AlertSet) -> Index:
    """Return the labelled alerts with the most detections, of classes that have enough such objects."""
    rich = np.intersect1d(alerts.labelled, np.flatnonzero(alerts.detections >= max(COUNTS)))
    labels = alerts.labels[rich]
    objects = {one: len(set(alerts.objects[rich[labels == one]].tolist())) for one in np.unique(labels).tolist()}
    return rich[np.isin(labels, [one for one, count in objects.items() if count >= FEWEST])]


def at_most(count: int) -> str:
    """Return what the tables call histories of so many detections."""
    return f"at most {count} detection{'s' if count > 1 else ''}"
