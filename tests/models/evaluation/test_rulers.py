from __future__ import annotations

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import outer_folds, splits
from fulgor.models.evaluation.metrics import accuracy, balanced_accuracy
from fulgor.models.evaluation.rulers import CONFOUNDED, METADATA, RULERS, Ruler
from fulgor.models.evaluation.validation import cross_validate
from fulgor.preprocessing.ztf import FEATURE_NAMES

BY_NAME = {ruler.name: ruler for ruler in RULERS}


def test_metadata_are_the_23_features() -> None:
    assert FEATURE_NAMES[:23] == METADATA
    assert set(CONFOUNDED) < set(METADATA)


@pytest.mark.parametrize("name", ["metadata only", "metadata only, forest"])
def test_metadata_tell_simulated_classes(alerts: AlertSet, name: str) -> None:
    found = cross_validate(BY_NAME[name], alerts, splits(outer_folds(alerts.objects, alerts.labels)))[""]
    assert accuracy(found.labels, found.probabilities) > 0.55
    assert found.probabilities.sum(axis=1) == pytest.approx(1)


def test_each_ruler_sees_what_its_name_says(alerts: AlertSet) -> None:
    index = np.arange(len(alerts))
    blank = alerts.without([*CONFOUNDED, "non_detections", "ecl_lat", "ecl_long", "gal_lat", "gal_long"])
    seen = {ruler.name: ruler.columns(alerts, index) for ruler in RULERS}
    assert {name: columns.shape[1] for name, columns in seen.items()} == {
        "provenance only": 4,
        "provenance only, forest": 4,
        "history count only": 4,
        "metadata only": 23,
        "metadata only, forest": 23,
        "metadata without ndethist, ncovhist, ra, dec": 19,
        "metadata without counts and positions": 14,
    }
    unchanged = [ruler.name for ruler in RULERS if (ruler.columns(blank, index) == seen[ruler.name]).all()]
    assert unchanged == ["provenance only", "provenance only, forest", "metadata without counts and positions"]


def test_one_class_is_too_few(alerts: AlertSet) -> None:
    with pytest.raises(ModelError, match="two classes"):
        RULERS[0].fit(alerts, alerts.labelled[:1])


def test_a_class_that_was_not_seen_gets_nothing(alerts: AlertSet) -> None:
    some = alerts.labelled[alerts.labels[alerts.labelled] != 2]
    told = Ruler("forest", lambda a, n: a.feature(["magpsf"], n), "forest").fit(alerts, some)
    probabilities = told.predict_proba(alerts, alerts.labelled)
    assert (probabilities[:, 2] == 0).all()
    assert balanced_accuracy(alerts.labels[alerts.labelled], probabilities) < 1
