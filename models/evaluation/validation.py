"""One way to measure any method: fit on the training alerts of a split, predict the others, keep every probability."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ModelError
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import Index, Split
from fulgor.models.evaluation.result import Evaluation

__all__ = ["Method", "Predictor", "cross_validate", "predict"]

Floats = NDArray[np.floating[Any]]


class Predictor(Protocol):
    """A fitted method."""

    def predict_proba(self, alerts: AlertSet, index: Index) -> Floats:
        """Return the class probabilities (n, classes) of some alerts; rows sum to 1."""
        ...


class Method(Protocol):
    """Anything that learns from labelled alerts: a ruler, a baseline, a network."""

    @property
    def name(self) -> str:
        """How the tables call it."""
        ...

    def fit(self, alerts: AlertSet, train: Index) -> Predictor:
        """Learn from some alerts and nothing else: scaling, search and calibration included."""
        ...


def cross_validate(
    method: Method,
    alerts: AlertSet,
    splits: Iterable[Split],
    variants: Mapping[str, AlertSet] | None = None,
    changed: Index | None = None,
) -> dict[str, Evaluation]:
    """Predict every labelled alert by a method that was fitted without its object.

    Parameters
    ----------
    method : Method
        Fitted anew for each split.
    alerts : AlertSet
        To fit on and to predict.
    splits : iterable of Split
        Divisions of ``alerts``. Labelled alerts in no ``test`` part are left out of the result.
    variants : mapping of str to AlertSet, optional
        The same alerts changed (histories truncated, features blanked), each predicted by the method
        that was fitted to the unchanged ones.
    changed : ndarray, optional
        Indices of the alerts that the variants' results hold; by default all that are tested.

    Returns
    -------
    dict of str to Evaluation
        Under ``""`` that of the alerts, under their names those of the variants.

    Raises
    ------
    ModelError
        An alert is tested twice, or probabilities are not finite.
    """
    sets = {"": alerts, **(variants or {})}
    every = np.arange(len(alerts))
    held = {key: every if changed is None or not key else changed for key in sets}
    found = {key: np.full((len(alerts), len(alerts.dataset.classes)), np.nan) for key in sets}
    folds = np.full(len(alerts), -1, dtype=np.int64)
    begun = time.monotonic()
    for split in splits:
        test = np.intersect1d(split.test, alerts.labelled)
        if (folds[test] >= 0).any():
            raise ModelError(f"split {split.fold} tests an alert that another one tests too; check the folds")
        fitted = method.fit(alerts, split.train)
        folds[test] = split.fold
        for key, told in sets.items():
            asked = np.intersect1d(test, held[key])
            found[key][asked] = fitted.predict_proba(told, asked)
    about = {"seconds": round(time.monotonic() - begun, 1)}
    return {
        key: _evaluation(f"{method.name}{f', {key}' if key else ''}", alerts, folds, found[key], about, held[key])
        for key in sets
    }


def predict(name: str, predictor: Predictor, alerts: AlertSet, index: Index) -> Evaluation:
    """Return the evaluation of a method that was fitted elsewhere, on the labelled ones of some alerts."""
    index = np.intersect1d(index, alerts.labelled)
    folds = np.full(len(alerts), -1, dtype=np.int64)
    folds[index] = 0
    probabilities = np.full((len(alerts), len(alerts.dataset.classes)), np.nan)
    probabilities[index] = predictor.predict_proba(alerts, index)
    return _evaluation(name, alerts, folds, probabilities, {}, index)


def _evaluation(
    name: str,
    alerts: AlertSet,
    folds: Index,
    probabilities: NDArray[np.float64],
    about: dict[str, Any],
    held: Index,
) -> Evaluation:
    tested = np.intersect1d(np.flatnonzero(folds >= 0), held)
    return Evaluation(
        name=name,
        classes=alerts.dataset.classes,
        ids=alerts.ids[tested],
        objects=alerts.objects[tested],
        labels=alerts.labels[tested],
        folds=folds[tested],
        probabilities=probabilities[tested],
        about=about,
    )
