from __future__ import annotations

import numpy as np
import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.baselines.method import Baseline, Budget, as_real_bogus, baselines, real_bogus
from fulgor.models.baselines.method import _turned as turned
from fulgor.models.evaluation.alerts import AlertSet, LabelledAlert
from fulgor.models.evaluation.metrics import accuracy
from fulgor.preprocessing.ztf import ZtfDecoder
from fulgor.replay.simulate.ztf import encode, simulate


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def alerts() -> AlertSet:
    decode = ZtfDecoder()
    return AlertSet.gather(
        LabelledAlert(decode(encode([one.record]))[0], one.label, "simulated") for one in simulate(60, 4)
    )


def test_a_few_steps_learn_what_they_are_shown(alerts: AlertSet) -> None:
    quick = Budget(seconds=60, steps=25, batch=20, rate=2e-3)
    _, plain = baselines(quick)
    probabilities = plain.fit(alerts, alerts.labelled).predict_proba(alerts, alerts.labelled)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert accuracy(alerts.labels[alerts.labelled], probabilities) > 0.4  # five classes as frequent in a batch


def test_pretraining_is_done_once_and_starts_every_fit(alerts: AlertSet, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    train = Baseline._train

    def watched(self: Baseline, network, given, index, seconds) -> None:
        told.append(len(index))
        train(self, network, given, index, seconds)

    monkeypatch.setattr(Baseline, "_train", watched)
    (braai,) = real_bogus(Budget(seconds=60, steps=1, batch=4), alerts)
    assert braai.name.endswith("pre-trained on simulated")
    binary = as_real_bogus(alerts)
    for count in (10, 20):
        braai.fit(binary, np.arange(count))
    assert told == [60, 10, 20]


def test_real_and_bogus(alerts: AlertSet) -> None:
    binary = as_real_bogus(alerts)
    assert binary.dataset.classes == ("real", "bogus")
    assert ((binary.labels == 1) == (alerts.labels == alerts.dataset.classes.index("bogus"))).all()


def test_no_label_nothing_learnt(alerts: AlertSet) -> None:
    with pytest.raises(ModelError, match="no labelled alert"):
        baselines(Budget())[0].fit(alerts, np.array([], dtype=np.int64))


def test_a_turned_stamp_keeps_its_centre_and_its_sum() -> None:
    y, x = np.mgrid[-10:11, -10:11]
    blob = torch.from_numpy(np.exp(-((x - 3) ** 2 + y**2) / 8)).float().expand(16, 3, 21, 21)
    found = turned(blob, torch.Generator().manual_seed(1))
    assert found.shape == blob.shape
    assert found[:, :, 10, 10] == pytest.approx(blob[:, :, 10, 10], rel=0.05)
    assert found.sum((2, 3)) == pytest.approx(blob.sum((2, 3)), rel=0.02)
    assert not torch.allclose(found[0], found[1], atol=0.1)
