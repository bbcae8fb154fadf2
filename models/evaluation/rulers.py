"""What any network on stamps must beat: classifiers that see no pixel, and some that should see nothing.

The public alerts are few and were collected by class, so where and when an alert comes from tells much
of its label. Each ruler is a :class:`~fulgor.models.evaluation.validation.Method` and is measured in the
same folds as the networks. Needs scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import (  # type: ignore[import-untyped]
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fulgor.errors import ModelError
from fulgor.models.dataset import UNLABELLED
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import Index

__all__ = ["COMPUTED_FROM_CONFOUNDED", "CONFOUNDED", "METADATA", "RULERS", "Ruler"]

METADATA: Final = (
    *("sgscore1", "distpsnr1", "sgscore2", "distpsnr2", "sgscore3", "distpsnr3", "isdiffpos", "fwhm", "magpsf"),
    *("sigmapsf", "ra", "dec", "diffmaglim", "classtar", "ndethist", "ncovhist", "ecl_lat", "ecl_long"),
    *("gal_lat", "gal_long", "non_detections", "chinr", "sharpnr"),
)
"""The 23 features of the ALeRCE stamp classifier."""

CONFOUNDED: Final = ("ndethist", "ncovhist", "ra", "dec")
"""Features that may tell the collection instead of the class."""

COMPUTED_FROM_CONFOUNDED: Final = ("non_detections", "ecl_lat", "ecl_long", "gal_lat", "gal_long")
"""Features that tell the same again."""

Floats = NDArray[np.float64]
Columns = Callable[[AlertSet, Index], Floats]


@dataclass(frozen=True)
class Ruler:
    """A classifier of a few columns.

    Parameters
    ----------
    name : str
        What it sees.
    columns : callable
        Alerts and indices to (n, columns).
    kind : str
        ``boosting`` (histogram gradient boosting) or ``forest`` (random forest); the classes weigh the
        same. Both with fixed settings: nothing is searched.
    """

    name: str
    columns: Columns
    kind: Literal["boosting", "forest"] = "boosting"

    def fit(self, alerts: AlertSet, train: Index) -> _FittedRuler:
        """Fit to the labelled ones of some alerts.

        Raises
        ------
        ModelError
            There are fewer than two classes among them.
        """
        known = train[alerts.labels[train] != UNLABELLED]
        if len(np.unique(alerts.labels[known])) < 2:
            raise ModelError(f"{self.name!r} needs labelled alerts of two classes to learn from; give more alerts")
        model = _ESTIMATORS[self.kind]()
        with threadpool_limits(1):  # a few hundred rows: threads that wait for each other take far longer than one
            model.fit(self.columns(alerts, known), alerts.labels[known])
        return _FittedRuler(model, self.columns)


@dataclass(frozen=True)
class _FittedRuler:
    model: Any
    columns: Columns

    def predict_proba(self, alerts: AlertSet, index: Index) -> Floats:
        found = np.zeros((len(index), len(alerts.dataset.classes)))
        if len(index):
            with threadpool_limits(1):
                found[:, self.model.classes_] = self.model.predict_proba(self.columns(alerts, index))
        return found


def _boosting() -> Any:
    return HistGradientBoostingClassifier(
        max_iter=100,
        max_leaf_nodes=8,
        min_samples_leaf=5,
        class_weight="balanced",
        early_stopping=False,
        random_state=0,
    )


def _forest() -> Any:
    return RandomForestClassifier(300, min_samples_leaf=3, class_weight="balanced", random_state=0)


_ESTIMATORS: Final[dict[str, Callable[[], Any]]] = {"boosting": _boosting, "forest": _forest}


def _provenance(alerts: AlertSet, index: Index) -> Floats:
    """Return origin, schema version, Julian date and filter."""
    origin = np.unique(alerts.origins, return_inverse=True)[1]
    schema = np.unique([alert.schemavsn for alert in alerts.alerts], return_inverse=True)[1]
    return np.array([(origin[n], schema[n], alerts.alerts[n].jd, alerts.alerts[n].fid) for n in index.tolist()])


def _history(alerts: AlertSet, index: Index) -> Floats:
    """Return how often the packet, and how often the survey, has detected and covered the position."""
    length = [len(alerts.alerts[n].history) for n in index.tolist()]
    counts = [alerts.detections[index], np.array(length), *alerts.feature(("ndethist", "ncovhist"), index).T]
    return np.stack(counts, axis=1).astype(np.float64)


def _metadata(*left_out: str) -> Columns:
    names = [name for name in METADATA if name not in left_out]
    return lambda alerts, index: alerts.feature(names, index)


RULERS: Final = (
    Ruler("provenance only", _provenance),
    Ruler("provenance only, forest", _provenance, "forest"),
    Ruler("history count only", _history),
    Ruler("metadata only", _metadata()),
    Ruler("metadata only, forest", _metadata(), "forest"),
    Ruler("metadata without ndethist, ncovhist, ra, dec", _metadata(*CONFOUNDED)),
    Ruler("metadata without counts and positions", _metadata(*CONFOUNDED, *COMPUTED_FROM_CONFOUNDED)),
)
"""Always measured beside a model; the last also leaves out what is computed from the four of the one before."""
