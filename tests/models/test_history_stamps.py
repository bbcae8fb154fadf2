"""The network that takes the stamp latents of earlier alerts: its graph, its card, and what serving makes of both."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.card import CARD, model_hash, read_card
from fulgor.models.cuda import TorchBackend
from fulgor.models.export import example
from fulgor.models.layout import HISTORY_INPUTS, INPUTS, OUTPUTS
from fulgor.models.serving import SHIPPED, LoadedModel, load
from fulgor.models.symmetry import ORDER, act
from fulgor.models.training import TrainedModel
from fulgor.models.ztf import Architecture, ZtfNetwork

ARCHITECTURE = Architecture(features=7, size=21, steps=6, history_stamps=True)
COUNT = 40

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def model(remembering: Path) -> LoadedModel:
    return load(remembering, "cpu")


@pytest.fixture(scope="module")
def arrays(model: LoadedModel) -> Arrays:
    architecture = Architecture.from_card(model.card["architecture"])
    inputs = example(architecture, COUNT, seed=3)
    return {name: part.numpy() for name, part in zip((*INPUTS, *HISTORY_INPUTS), inputs, strict=True)}


def rows(arrays: Arrays, start: int, stop: int) -> Arrays:
    return {name: array[start:stop] for name, array in arrays.items()}


def without(arrays: Arrays, *names: str) -> Arrays:
    return {name: array for name, array in arrays.items() if name not in names}


def test_the_card_says_so(model: LoadedModel, folder: Path) -> None:
    assert model.history_shape == (4, 64)
    assert model.card["recurrence"] == {"cell": "decay-gru", "steps": 5, "history_stamps": True}
    plain = read_card(folder)
    assert plain["recurrence"] == {"cell": "decay-gru", "steps": 5, "history_stamps": False}
    assert "history_stamps" not in plain["architecture"]
    assert model_hash({**model.card, "recurrence": plain["recurrence"]}) != model.model_hash


@pytest.mark.parametrize("name", ["ztf", "ztf-sim"])
def test_models_of_before_take_no_history(name: str) -> None:
    assert load(SHIPPED / name, "cpu").history_shape is None


def test_a_model_without_it_ignores_what_it_is_given(folder: Path, arrays: Arrays) -> None:
    plain = load(folder, "cpu")
    given, bare = plain.predict(arrays), plain.predict(without(arrays, *HISTORY_INPUTS))
    assert all(np.array_equal(given[name], bare[name], equal_nan=True) for name in bare)


@pytest.mark.parametrize("size", [1, 3, 17])
def test_any_batch_gives_the_same_rows(model: LoadedModel, arrays: Arrays, size: int) -> None:
    whole = model.predict(arrays)["latent"]
    parts = [model.predict(rows(arrays, at, at + size))["latent"] for at in range(0, COUNT, size)]
    assert np.abs(np.concatenate(parts) - whole).max() <= 1e-5


def test_torch_and_onnx_agree(model: LoadedModel, remembering: Path, arrays: Arrays) -> None:
    theirs = LoadedModel(model.card, TorchBackend(remembering, model.card, "cpu"), "cpu").predict(arrays)
    ours = model.predict(arrays)
    for name in OUTPUTS:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5)


def test_no_history_is_a_mask_of_zeros(model: LoadedModel, arrays: Arrays) -> None:
    unknown = {**arrays, "history": np.full_like(arrays["history"], np.nan)}
    unknown["history_mask"] = np.zeros_like(arrays["history_mask"])
    masked, bare = model.predict(unknown), model.predict(without(arrays, *HISTORY_INPUTS))
    assert all(np.array_equal(masked[name], bare[name], equal_nan=True) for name in bare)


def test_without_history_it_is_the_model_that_it_came_from(trained: TrainedModel) -> None:
    remembers = ZtfNetwork(replace(trained.network.architecture, history_stamps=True)).eval()
    remembers.load_state_dict(trained.network.state_dict())
    inputs = example(trained.network.architecture, 5)
    for ours, theirs in zip(remembers(*inputs), trained.network(*inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


def test_each_place_belongs_to_its_step(model: LoadedModel, arrays: Arrays) -> None:
    full = np.flatnonzero(arrays["sequence_mask"].all(1))[:1]
    alert = {name: array[full] for name, array in arrays.items()}
    alert["history_mask"] = np.ones_like(alert["history_mask"])
    before = model.predict(alert)["latent"]
    for place in range(4):
        other = alert["history"].copy()
        other[:, place] += 1.0
        changed = model.predict({**alert, "history": other})
        assert np.abs(changed["latent"] - before).max() > 1e-4, place
        mask = alert["history_mask"].copy()
        mask[:, place] = 0.0
        assert np.abs(model.predict({**alert, "history_mask": mask})["latent"] - before).max() > 1e-4, place


def test_what_lies_before_the_first_step_tells_nothing(model: LoadedModel, arrays: Arrays) -> None:
    told = {**arrays, "history": arrays["history"] + 5.0 * (1.0 - arrays["sequence_mask"][:, :-1, None])}
    told["history_mask"] = np.maximum(arrays["history_mask"], 1.0 - arrays["sequence_mask"][:, :-1])
    assert np.array_equal(model.predict(told)["latent"], model.predict(arrays)["latent"])


def test_no_orientation_of_any_of_an_objects_stamps_changes_a_latent() -> None:
    torch.manual_seed(5)
    network = ZtfNetwork(ARCHITECTURE).eval().requires_grad_(False)
    torch.nn.init.normal_(network.recurrence.absent)
    stamps, masks, *rest, _, known = example(ARCHITECTURE, 12)
    images, holes, *_ = example(ARCHITECTURE, 12 * 5, seed=7)

    def latent(element: int) -> torch.Tensor:
        history = network.encoder(act(images, element), act(holes, element)).reshape(12, 5, -1)
        return network(act(stamps, element), act(masks, element), *rest, history, known).latent

    whole = latent(0)
    for element in range(ORDER):
        assert float(((latent(element) - whole).abs().amax(1) / whole.norm(dim=1)).max()) <= 1e-6, element


def test_half_a_history_is_refused(model: LoadedModel, arrays: Arrays) -> None:
    with pytest.raises(ModelError, match="lacks 'history_mask'"):
        model.predict(without(arrays, "history_mask"))
    with pytest.raises(ModelError, match=r"'history' has shape \(40, 3, 64\), expected \(N, 4, 64\)"):
        model.predict({**arrays, "history": arrays["history"][:, 1:]})


def test_a_card_that_claims_what_the_graph_cannot_do(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    card = json.loads((copy / CARD).read_text())
    card["recurrence"]["history_stamps"] = True
    card["model_hash"] = model_hash(card)
    (copy / CARD).write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"instead of .* history, history_mask; export the model again"):
        load(copy, "cpu")


def test_architecture_survives_the_card() -> None:
    assert Architecture.from_card(ARCHITECTURE.to_card()) == ARCHITECTURE
