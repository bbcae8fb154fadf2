from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.baselines import method
from fulgor.models.baselines.lineup import as_real_bogus, baselines, real_bogus
from fulgor.models.baselines.method import Baseline, Budget, evenly
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.metrics import accuracy


def test_a_few_steps_learn_what_they_are_shown(alerts: AlertSet) -> None:
    quick = Budget(seconds=60, steps=25, batch=20, rate=2e-3)
    _, plain, *_ = baselines(quick)
    probabilities = plain.fit(alerts, alerts.labelled).predict_proba(alerts, alerts.labelled)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert accuracy(alerts.labels[alerts.labelled], probabilities) > 0.4  # five classes as frequent in a batch


def test_pretraining_is_done_once_and_starts_every_fit(
    alerts: AlertSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[int] = []
    train = Baseline._train

    def watched(self: Baseline, network, given, index, seconds) -> None:
        told.append(len(index))
        train(self, network, given, index, seconds)

    monkeypatch.setattr(Baseline, "_train", watched)
    budget = Budget(seconds=60, steps=1, batch=4)
    (braai,) = real_bogus(budget, alerts, tmp_path)
    assert braai.name.endswith("pre-trained on simulated")
    binary = as_real_bogus(alerts)
    for count in (10, 20):
        braai.fit(binary, np.arange(count))
    assert told == [60, 10, 20]
    (again,) = real_bogus(budget, alerts, tmp_path)  # as after an interruption
    found = [one.fit(binary, np.arange(20)).predict_proba(binary, np.arange(20)) for one in (braai, again)]
    assert told == [60, 10, 20, 20, 20]
    assert (found[0] == found[1]).all()


def test_pretrained_weights_are_kept_whole_or_not_at_all(
    alerts: AlertSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def cut_off(tensors: object, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    (braai,) = real_bogus(Budget(seconds=60, steps=1, batch=4), alerts, tmp_path)
    write = method.save_file
    monkeypatch.setattr(method, "save_file", cut_off)
    with pytest.raises(KeyboardInterrupt):
        braai.fit(as_real_bogus(alerts), np.arange(10))
    monkeypatch.setattr(method, "save_file", write)
    (again,) = real_bogus(Budget(seconds=60, steps=1, batch=4), alerts, tmp_path)
    again.fit(as_real_bogus(alerts), np.arange(10))


def test_every_class_is_drawn_as_often() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 2, 2])
    drawn = labels[torch.multinomial(evenly(labels), 3000, replacement=True)]
    assert torch.bincount(drawn) / 3000 == pytest.approx([1 / 3] * 3, abs=0.05)


def test_no_label_nothing_learnt(alerts: AlertSet) -> None:
    with pytest.raises(ModelError, match="no labelled alert"):
        baselines(Budget())[0].fit(alerts, np.array([], dtype=np.int64))
