from __future__ import annotations

import pytest

from fulgor.models.baselines.lineup import as_real_bogus, as_transients, baselines, clusterings, real_bogus, transients
from fulgor.models.baselines.method import Budget
from fulgor.models.dataset import UNLABELLED
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.result import slug


def test_each_has_a_name_and_a_file_of_its_own(alerts: AlertSet) -> None:
    budget = Budget()
    names = [
        one.name
        for given in (None, alerts)
        for one in (*baselines(budget, given), *transients(budget, given), *real_bogus(budget, given))
    ] + [one.name for one in clusterings(budget)]
    assert len({slug(name) for name in names}) == len(names) == 14


def test_real_and_bogus(alerts: AlertSet) -> None:
    binary = as_real_bogus(alerts)
    assert binary.dataset.classes == ("real", "bogus")
    assert ((binary.labels == 1) == (alerts.labels == alerts.dataset.classes.index("bogus"))).all()


def test_transients_have_two_detections(alerts: AlertSet) -> None:
    found = as_transients(alerts)
    for before, after, count in zip(alerts.labels.tolist(), found.labels.tolist(), alerts.detections, strict=True):
        name = alerts.dataset.classes[before]
        kept = name in found.dataset.classes and count > 1
        assert (found.dataset.classes[after] == name) if kept else (after == UNLABELLED)
    assert 0 < len(found.labelled) < len(alerts.labelled)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_the_networks_take_what_they_are_shown(alerts: AlertSet, number: int) -> None:
    quick = Budget(seconds=60, steps=1, batch=4)
    method, given = [*((one, alerts) for one in baselines(quick)), (transients(quick)[0], as_transients(alerts))][
        number
    ]
    found = method.fit(given, given.labelled).predict_proba(given, given.labelled[:7])
    assert found.shape == (7, len(given.dataset.classes))
    assert found.sum(axis=1) == pytest.approx(1)
