from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fulgor.models.ablation.configurations import BASE, CONFIGURATIONS, Configuration
from fulgor.models.ablation.run import Material, measured, parameters, searched
from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.ztf import Architecture, ZtfNetwork


def brief(configuration: Configuration) -> Configuration:
    training = replace(configuration.training, epochs=1, width=1)
    return replace(configuration, training=training, tuning=replace(configuration.tuning, steps=3, count=1))


@pytest.fixture(scope="module")
def material(dataset: Dataset) -> Material:
    real = dataset.part(np.arange(150, 300))
    alerts = tuple(SimpleNamespace(candid=number) for number in range(150))
    rest = dataset.part(np.arange(300, 400))
    unlabelled = replace(rest, labels=np.full_like(rest.labels, UNLABELLED))
    return Material(dataset.part(np.arange(150)), AlertSet(alerts, real, np.full(150, "here")), unlabelled, (2,))


def test_search_never_tests_an_outer_fold_with_its_own_training() -> None:
    folds = np.arange(50) % 5
    tested = []
    for outer, split in enumerate(searched(folds)):
        assert set(folds[split.test]) == {(outer + 1) % 5}
        assert set(folds[split.train]) == set(range(5)) - {outer, (outer + 1) % 5}
        tested += split.test.tolist()
    assert sorted(tested) == list(range(50))


def test_a_run_measures_both_kinds_and_says_what_it_was(material: Material) -> None:
    found = measured(brief(BASE), 1, material)
    real, simulated = found["real"], found["simulated"]
    assert real.ids.tolist() == material.real.ids[material.real.labelled].tolist()
    assert len(set(real.folds.tolist())) == 5
    assert 20 < len(simulated) < 60
    for one in (real, simulated):
        np.testing.assert_allclose(one.probabilities.sum(axis=1), 1)
        assert one.about["configuration"] == "base"
        assert one.about["seed"] == one.about["training"]["seed"] == one.about["tuning"]["seed"] == 1
        assert one.about["training"]["ignored"] == (2,)
        assert one.about["parameters"] > 1000


def test_without_simulated_alerts_only_real_ones_are_measured(material: Material) -> None:
    assert list(measured(brief(CONFIGURATIONS["real alerts only"]), 0, material)) == ["real"]


def test_weights_that_the_probabilities_do_not_depend_on_are_not_counted(dataset: Dataset) -> None:
    def size(*modules: object) -> int:
        return sum(weight.numel() for module in modules for weight in module.parameters())  # type: ignore[attr-defined]

    whole = ZtfNetwork(Architecture(7, 21, 1, steps=5))
    used = (whole.encoder, whole.recurrence, whole.metadata, whole.join, whole.classifier)
    assert parameters(whole, dataset) == size(*used)
    blind = ZtfNetwork(Architecture(7, 21, 1, steps=5, sees=("metadata",)))
    assert parameters(blind, dataset) == size(blind.metadata, blind.join, blind.classifier)
