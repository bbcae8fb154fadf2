from __future__ import annotations

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import Split, outer_folds, splits
from fulgor.models.evaluation.validation import cross_validate, predict


class Cheat:
    """Says the true class of what it was fitted to, and class 0 of all else."""

    name = "cheat"

    def fit(self, alerts: AlertSet, train: np.ndarray) -> Cheat:
        self.known = set(alerts.objects[train].tolist())
        return self

    def predict_proba(self, alerts: AlertSet, index: np.ndarray) -> np.ndarray:
        told = [alerts.labels[n] if alerts.objects[n] in self.known else 0 for n in index]
        return np.eye(len(alerts.dataset.classes))[told]


class Counter(Cheat):
    """Says class 1 where the packet holds one detection, else class 0."""

    name = "counter"

    def predict_proba(self, alerts: AlertSet, index: np.ndarray) -> np.ndarray:
        return np.eye(len(alerts.dataset.classes))[(alerts.detections[index] == 1).astype(int)]


def test_no_method_is_asked_about_an_object_it_has_seen(alerts: AlertSet) -> None:
    found = cross_validate(Cheat(), alerts, splits(outer_folds(alerts.objects, alerts.labels)))[""]
    assert len(found) == len(alerts.labelled)
    assert (found.predicted == 0).all()


def test_variants_are_told_by_the_same_fit(alerts: AlertSet) -> None:
    folds = outer_folds(alerts.objects, alerts.labels)
    found = cross_validate(Counter(), alerts, splits(folds), {"1 detection": alerts.truncated(1)})
    assert found["1 detection"].name == "counter, 1 detection"
    assert (found["1 detection"].predicted == 1).all()
    assert 0 < found[""].predicted.mean() < 1
    assert (found[""].ids == found["1 detection"].ids).all()


def test_an_alert_tested_twice_is_refused(alerts: AlertSet) -> None:
    half = np.arange(60)
    twice = [Split(0, half + 60, half), Split(1, half + 60, half)]
    with pytest.raises(ModelError, match="another one tests too"):
        cross_validate(Counter(), alerts, twice)


def test_a_fitted_method_is_measured_where_it_is_asked(alerts: AlertSet) -> None:
    found = predict("told", Counter(), alerts, np.arange(10, 20))
    assert found.ids.tolist() == alerts.ids[10:20].tolist()
