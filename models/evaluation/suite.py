"""What is always measured together: a method, its shorter histories, and nights and origins it has never seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ModelError
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import Index, Split, group_splits, outer_folds, splits
from fulgor.models.evaluation.result import Evaluation
from fulgor.models.evaluation.validation import Method, Predictor, cross_validate, predict

__all__ = [
    "COUNTS",
    "NIGHT",
    "ORIGIN",
    "FixedModel",
    "Served",
    "Suite",
]

COUNTS: Final = (1, 2, 3, 4, 5)
"""Numbers of detections to which histories are truncated; alerts that have the largest are compared."""

NIGHT: Final = "nights unseen"
ORIGIN: Final = "origins unseen"

BATCH: Final = 256

Watch = Callable[[str], None]
"""Told the name of each measurement before it begins."""


class Served(Protocol):
    """What a loaded model offers, see :class:`fulgor.models.serving.LoadedModel`."""

    classes: tuple[str, ...]

    @property
    def card(self) -> dict[str, Any]:
        """Everything known about the model."""
        ...

    def predict(self, arrays: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Return ``probabilities`` and more of a batch."""
        ...


class FixedModel:
    """A model that was trained elsewhere, as a predictor.

    Parameters
    ----------
    served : Served
        The loaded model.
    """

    def __init__(self, served: Served) -> None:
        self._served = served

    def predict_proba(self, alerts: AlertSet, index: Index) -> NDArray[np.float64]:
        """Return the class probabilities (n, classes) of some alerts.

        Raises
        ------
        ModelError
            The model has other classes than the alerts.
        """
        if self._served.classes != alerts.dataset.classes:
            ours, theirs = ", ".join(self._served.classes), ", ".join(alerts.dataset.classes)
            raise ModelError(f"the model tells {ours} apart, the labels {theirs}; give labels of the model's classes")
        parts = [index[at : at + BATCH] for at in range(0, len(index), BATCH)]
        found = [self._served.predict(alerts.dataset.take(part))["probabilities"] for part in parts]
        return np.concatenate(found).astype(np.float64)


class Suite:
    """The measurements of one set of alerts.

    Parameters
    ----------
    alerts : AlertSet
        All there are; methods may train on the unlabelled ones.
    watch : callable, optional
        Told of each measurement.

    Attributes
    ----------
    folds : ndarray
        int64 (N,): outer fold of each alert.
    rich : ndarray
        int64: labelled alerts with the largest of :data:`COUNTS` detections, which truncation compares.
    """

    def __init__(self, alerts: AlertSet, watch: Watch | None = None) -> None:
        self.alerts = alerts
        self.folds = outer_folds(alerts.objects, alerts.labels)
        self.rich = np.intersect1d(alerts.labelled, np.flatnonzero(alerts.detections >= max(COUNTS)))
        self._tell = watch or (lambda _: None)

    @cached_property
    def shorter(self) -> dict[str, AlertSet]:
        """The alerts with the histories of the rich ones truncated, by what the tables call it."""
        return {_at_most(count): self.alerts.truncated(count, self.rich) for count in COUNTS}

    def measure(self, method: Method, *, groups: bool) -> Iterator[Evaluation]:
        """Yield the evaluations of a method: in the outer folds, with truncated histories, and by groups.

        Parameters
        ----------
        method : Method
            What is measured.
        groups : bool
            Whether to leave out nights and origins as well: as many fits as there are of both.
        """
        self._tell(method.name)
        yield from cross_validate(method, self.alerts, splits(self.folds), self.shorter).values()
        for what, of in ((NIGHT, self.alerts.nights), (ORIGIN, self.alerts.origins)):
            if groups and len(set(of[self.alerts.labelled].tolist())) > 1:
                self._tell(f"{method.name}, {what}")
                yield self._leave_out(method, of, what)

    def measure_fixed(self, name: str, predictor: Predictor, index: Index) -> Iterator[Evaluation]:
        """Yield the evaluations of a model that was fitted elsewhere, on some alerts, and with shorter histories."""
        self._tell(name)
        yield predict(name, predictor, self.alerts, index)
        for what, shorter in self.shorter.items():
            yield predict(f"{name}, {what}", predictor, shorter, index)

    def by_detections(self, found: Mapping[str, Evaluation], name: str) -> dict[int, Evaluation]:
        """Return a method's evaluations by number of detections, on the same rich alerts throughout.

        Parameters
        ----------
        found : mapping of str to Evaluation
            By name, as :meth:`measure` and :meth:`measure_fixed` give them.
        name : str
            The method.
        """
        rich = set(self.alerts.ids[self.rich].tolist())
        kept: dict[int, Evaluation] = {}
        for count in COUNTS:
            evaluation = found.get(f"{name}, {_at_most(count)}")
            ids = [one for one in evaluation.ids.tolist() if one in rich] if evaluation else []
            if evaluation and ids:
                kept[count] = evaluation.part(np.array(ids))
        return kept

    def _leave_out(self, method: Method, groups: NDArray[np.str_], what: str) -> Evaluation:
        """Return the evaluation in which each group of alerts is told by a fit that saw none of it."""
        labelled = np.zeros(len(self.alerts), dtype=bool)
        labelled[self.alerts.labelled] = True
        found = [split for split in group_splits(groups, self.alerts.objects, labelled) if self._can_learn(split)]
        return cross_validate(_Named(method, f"{method.name}, {what}"), self.alerts, found)[""]

    def _can_learn(self, split: Split) -> bool:
        labels = self.alerts.labels[split.train]
        return len(np.unique(labels[labels >= 0])) > 1


class _Named:
    """A method under another name."""

    def __init__(self, method: Method, name: str) -> None:
        self.name = name
        self._method = method

    def fit(self, alerts: AlertSet, train: Index) -> Predictor:
        return self._method.fit(alerts, train)


def _at_most(count: int) -> str:
    return f"at most {count} detection{'s' if count > 1 else ''}"
