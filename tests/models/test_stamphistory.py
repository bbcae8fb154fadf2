from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.augmentation import Augmentation
from fulgor.models.card import read_card
from fulgor.models.cuda import load_network
from fulgor.models.dataset import STEP_TIMES, Dataset
from fulgor.models.finetuning import TuningConfig, views
from fulgor.models.finetuning import remembering as look_back
from fulgor.models.fitting import infer
from fulgor.models.lookback import ABSENT, earlier_alerts, predict
from fulgor.models.serving import load
from fulgor.models.stamphistory import StampHistory
from fulgor.models.training import TrainedModel
from fulgor.models.ztf import ZtfNetwork

CONFIG = TuningConfig(steps=3, batch=32, count=1)


def test_what_an_alert_looks_back_on(trained: TrainedModel, linked: Dataset) -> None:
    index = np.array([8, 3, 7])
    history, known = StampHistory.of(trained.network, linked, index).slots(torch.arange(3))
    assert known.tolist() == [[0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 1]]
    own = torch.from_numpy(infer(trained.network, linked, np.arange(9))["stamp_latent"])
    torch.testing.assert_close(history[0, 2:], own[6:8], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(history[2, 3], own[6], rtol=1e-5, atol=1e-5)


def test_parts_and_joins_look_back_on_the_same(trained: TrainedModel, linked: Dataset) -> None:
    whole = StampHistory.of(trained.network, linked, np.arange(30))
    halves = [StampHistory.of(trained.network, linked, index) for index in (np.arange(13), np.arange(13, 30))]
    chosen = torch.tensor([28, 2, 14, 15, 0])
    for found in (halves[0].joined(halves[1]), whole.part(torch.arange(30))):
        for ours, theirs in zip(found.slots(chosen), whole.slots(chosen), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_alerts_without_history(trained: TrainedModel, dataset: Dataset) -> None:
    history, known = StampHistory.of(trained.network, dataset, np.arange(4)).slots(torch.arange(4))
    assert history.shape == (4, 4, 64)
    assert not known.any()


def test_what_it_learns_of_history_it_uses(network: ZtfNetwork, trained: TrainedModel, linked: Dataset) -> None:
    assert network.architecture == replace(trained.network.architecture, history_stamps=True)
    index = np.arange(300, 400)
    bare = {name: array for name, array in linked.arrays.items() if name != STEP_TIMES}
    unknown = Dataset(bare, linked.labels, linked.objects, linked.classes)
    told, alone = infer(network, linked, index), infer(network, unknown, index)
    later = (earlier_alerts(linked)[index] != ABSENT).any(1)
    changed = np.abs(told["latent"] - alone["latent"]).max(1)
    assert changed[later].min() > 1e-3
    assert changed[~later].max() == 0
    assert np.array_equal(told["stamp_latent"], alone["stamp_latent"])


def test_the_encoder_stays_as_it_was(network: ZtfNetwork, trained: TrainedModel) -> None:
    before = trained.network.state_dict()
    same = {name for name, value in network.state_dict().items() if torch.equal(value, before[name])}
    assert {name for name in before if name.startswith(("encoder.", "stamp_decoder."))} <= same
    assert "recurrence.absent" not in same


def test_evened_latents_are_folded_in_the_history_too(trained: TrainedModel, linked: Dataset) -> None:
    """A step of length zero changes no weight but the folding, so a slot then tells what it told before it."""
    network = look_back(trained.network, linked, np.arange(300), replace(CONFIG, rate=0.0, decay=0.0))
    seen = views(trained.network, linked, np.arange(300), Augmentation(), 0, 0)
    scale = 2.0 * seen.latents[:, 0].std(0)
    torch.manual_seed(CONFIG.seed)
    fresh = ZtfNetwork(network.architecture)
    length = network.architecture.latent
    torch.testing.assert_close(
        network.recurrence.read.weight[:, -length:],
        fresh.recurrence.read.weight[:, -length:] / scale,
        rtol=1e-4,
        atol=1e-5,
    )
    torch.testing.assert_close(network.recurrence.absent, seen.latents[:, 0].mean(0), rtol=1e-4, atol=1e-4)


def test_served_it_gives_what_was_measured(remembering: Path, network: ZtfNetwork, linked: Dataset) -> None:
    assert load_network(remembering, read_card(remembering)).architecture.history_stamps
    index = np.array([350, 2, 301, 302])
    measured, served = infer(network, linked, index), predict(load(remembering, "cpu"), linked, index)
    for name, array in measured.items():
        np.testing.assert_allclose(served[name], array, rtol=1e-4, atol=1e-5)


def test_without_links_there_is_nothing_to_learn(trained: TrainedModel, dataset: Dataset) -> None:
    with pytest.raises(ModelError, match="no history to learn from"):
        look_back(trained.network, dataset, np.arange(300), CONFIG)
