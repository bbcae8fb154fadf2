from __future__ import annotations

import numpy as np
import pytest
import torch

from fulgor.models import adaptation
from fulgor.models.adaptation import FineTuning, tuned_model
from fulgor.models.batches import Index
from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.evaluation.folds import OUTER, outer_folds
from fulgor.models.finetuning import TuningConfig, Views, tune
from fulgor.models.layout import INPUTS
from fulgor.models.redrawing import RedrawingConfig
from fulgor.models.training import TrainedModel
from fulgor.models.ztf import ZtfNetwork

QUICK = TuningConfig(steps=5, count=1)


@pytest.fixture
def method(trained: TrainedModel, dataset: Dataset) -> FineTuning:
    rest = dataset.part(np.arange(200, 400))
    return FineTuning(trained.network, rest, rest, QUICK, redrawing=RedrawingConfig(epochs=1))


def test_the_model_is_tuned_on_all_labels(method: FineTuning, dataset: Dataset) -> None:
    real, rest = dataset.part(np.arange(200)), dataset.part(np.arange(200, 400))
    model = tuned_model(method, real, rest, {"accuracy": 0.5})
    assert model.metrics == {"accuracy": 0.5}
    assert model.split["parts"]["train"] == real.counts(np.arange(200))
    assert model.reference.size == 200
    assert float(model.network.temperature) != float(method.base.temperature)
    held_out = model.training["redrawing"]["held_out_error"]
    assert 0 < held_out["after"] <= held_out["before"]


def test_the_temperature_comes_from_alerts_that_the_tuning_did_not_see(
    method: FineTuning, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.asarray(dataset.labels)
    train = np.flatnonzero((outer_folds(dataset.objects, labels) != 0) & (labels != UNLABELLED))[:150]
    tuned: list[int] = []

    def counted(base: ZtfNetwork, real: Views, rehearsal: Views | None, config: TuningConfig) -> ZtfNetwork:
        tuned.append(int((real.batch.labels >= 0).sum()))
        return tune(base, real, rehearsal, config)

    monkeypatch.setattr(adaptation, "tune", counted)
    network = method.fitted(dataset, train)
    whole, *inner = tuned
    assert whole == len(train)
    assert len(inner) == OUTER
    assert sum(whole - seen for seen in inner) == whole
    assert 0.05 <= float(network.temperature) <= 20


def test_what_is_not_tuned_on_changes_nothing(method: FineTuning, dataset: Dataset) -> None:
    train = np.arange(0, 150)
    other = Dataset(dataset.arrays, _shifted(dataset.labels, train), dataset.objects, dataset.classes)
    one, two = method.fitted(dataset, train), method.fitted(other, train)
    assert float(one.temperature) == float(two.temperature)


def test_a_model_of_stored_history_is_tuned_with_it(trained: TrainedModel, linked: Dataset) -> None:
    rest, train = linked.part(np.arange(201, 400)), np.arange(0, 150)
    method = FineTuning(trained.network, rest, rest, QUICK, history=True)
    network = method.fitted(linked, train)
    assert network.architecture.history_stamps
    bare = Dataset({name: linked.arrays[name] for name in INPUTS}, linked.labels, linked.objects, linked.classes)
    other = method.fitted(bare, train)
    assert not torch.equal(network.classifier.weight, other.classifier.weight)


def _shifted(labels: Index, kept: Index) -> Index:
    """Return other labels for all alerts but those that are kept."""
    changed = (np.asarray(labels) + 1) % (int(np.max(labels)) + 1)
    changed[kept] = np.asarray(labels)[kept]
    return changed
