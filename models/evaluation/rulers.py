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
from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import Index
from fulgor.models.evaluation.metrics import summary

__all__ = ["COMPUTED_FROM_CONFOUNDED", "CONFOUNDED", "METADATA", "RULERS", "MetadataBaseline", "Ruler"]

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
        return _FittedRuler(_fitted(self.kind, self.columns(alerts, known), alerts.labels[known]), self.columns)


@dataclass(frozen=True)
class _FittedRuler:
    model: Any
    columns: Columns

    def predict_proba(self, alerts: AlertSet, index: Index) -> Floats:
        return _told(self.model, self.columns(alerts, index), len(alerts.dataset.classes))


class MetadataBaseline:
    """The ruler ``metadata only``, fitted to prepared alerts: its figures stand on every model's card.

    Parameters
    ----------
    dataset : Dataset
        Prepared alerts.
    fit : ndarray
        Indices to train on; the unlabelled ones are left out.
    """

    def __init__(self, dataset: Dataset, fit: Index) -> None:
        known = fit[dataset.labels[fit] != UNLABELLED]
        self._model = _fitted("boosting", _prepared_metadata(dataset, known), dataset.labels[known])

    def measure(self, dataset: Dataset, index: Index) -> dict[str, Any]:
        """Return the figures on some alerts, as :func:`fulgor.models.evaluation.summary`."""
        told = _told(self._model, _prepared_metadata(dataset, index), len(dataset.classes))
        return summary(dataset.labels[index], told, dataset.classes)


def _prepared_metadata(dataset: Dataset, index: Index) -> Floats:
    """Return the columns of the features that are in `METADATA`: the first ones of the preparation."""
    return np.asarray(dataset.arrays["features"][index][:, : len(METADATA)], dtype=np.float64)


def _fitted(kind: str, columns: Floats, labels: Index) -> Any:
    model = _ESTIMATORS[kind]()
    with threadpool_limits(1):  # a few hundred rows: threads that wait for each other take far longer than one
        return model.fit(columns, labels)


def _told(model: Any, columns: Floats, classes: int) -> Floats:
    """Return probabilities (n, classes); a class that was not learnt has none."""
    found = np.zeros((len(columns), classes))
    if len(columns):
        with threadpool_limits(1):
            found[:, model.classes_] = model.predict_proba(columns)
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
