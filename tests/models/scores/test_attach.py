from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.card import SCORES, read_card, verify
from fulgor.models.dataset import Dataset
from fulgor.models.fitting import infer
from fulgor.models.layout import SCORES as GRAPH_SCORES
from fulgor.models.scores.attach import attach_scores
from fulgor.models.scores.suite import FITTED
from fulgor.models.serving import LoadedModel, load
from fulgor.models.training import TrainedModel


@pytest.fixture(scope="module")
def outputs(trained: TrainedModel, dataset: Dataset) -> dict[str, np.ndarray]:
    return infer(trained.network, dataset, np.arange(len(dataset)))


@pytest.fixture(scope="module")
def scored(
    folder: Path, outputs: dict[str, np.ndarray], dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    copy = Path(shutil.copytree(folder, tmp_path_factory.mktemp("scored") / "model"))
    parts = [{name: rows[part] for name, rows in outputs.items()} for part in (slice(0, 300), slice(300, None))]
    attach_scores(copy, parts[0], dataset.labels[:300], parts[1], source="100 made up", combined=("flow", "sequence"))
    return copy


@pytest.fixture(scope="module")
def model(scored: Path) -> LoadedModel:
    return load(scored, "cpu")


def test_the_model_serves_all_scores(model: LoadedModel, outputs: dict[str, np.ndarray], dataset: Dataset) -> None:
    assert model.scores == (*GRAPH_SCORES, *FITTED)
    found = model.predict(dataset.take(np.arange(300, 400)))
    assert found["scores"].shape == (100, len(model.scores))
    np.testing.assert_allclose(found["scores"][:, : len(GRAPH_SCORES)], outputs["scores"][300:], rtol=1e-4, atol=1e-4)
    # What the reference was made of lies evenly in it.
    flow = found["scores"][:, model.scores.index("flow")]
    assert np.median(flow) == pytest.approx(model._reference.tables["flow"].values[25], rel=1e-3)


def test_the_card_says_what_was_done(scored: Path, folder: Path) -> None:
    card, before = read_card(scored), read_card(folder)
    verify(scored, card)
    assert card["reference"]["source"] == "100 made up"
    assert card["reference"]["size"] == 100
    assert card["reference"]["combined"] == ["flow", "sequence"]
    assert set(card["score_needs"]) == set(card["scores"])
    assert card["model_hash"] != before["model_hash"]
    assert card["metrics"] == before["metrics"]


def test_the_reference_is_no_part_of_the_hash_and_the_scores_are(
    scored: Path, outputs: dict[str, np.ndarray], dataset: Dataset, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(scored, tmp_path / "model"))
    first = read_card(copy)
    training = {name: rows[:300] for name, rows in outputs.items()}
    fewer = {name: rows[320:] for name, rows in outputs.items()}
    again = attach_scores(copy, training, dataset.labels[:300], fewer, source="80 made up")
    assert again["model_hash"] == first["model_hash"]
    assert again["reference"]["id"] != first["reference"]["id"]
    other = attach_scores(copy, training, dataset.labels[:300], fewer, source="80 made up", seed=1)
    assert other["model_hash"] != first["model_hash"]


def test_a_lost_file_of_scores_is_found(scored: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(scored, tmp_path / "model"))
    (copy / SCORES).unlink()
    with pytest.raises(ModelError, match=r"scores\.safetensors cannot be read"):
        load(copy, "cpu")


def test_a_reference_without_the_graph_s_scores_is_refused(
    folder: Path, outputs: dict[str, np.ndarray], dataset: Dataset, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    with pytest.raises(ModelError, match="2 scores of the network's graph"):
        attach_scores(copy, outputs, dataset.labels, {**outputs, "scores": outputs["scores"][:, :2]}, source="x")
    assert read_card(copy) == read_card(folder)
