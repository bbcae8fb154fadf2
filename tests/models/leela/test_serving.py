"""The model that ships: what it predicts for chunks and their pulses, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.leela.layout import COMBINED, SCORES
from fulgor.models.leela.serving import LeelaModel, load
from fulgor.models.serving import SHIPPED
from fulgor.preprocessing.leela import DEFAULT, PreparedChunk, prepare
from fulgor.preprocessing.leela.chunk import chunk_of
from fulgor.preprocessing.records import AvroRecord
from fulgor.replay.simulate.leela import simulate


@pytest.fixture(scope="module")
def model() -> LeelaModel:
    return load(SHIPPED / "leela", "cpu")


def rows(chunks: int, pulses: int) -> dict[str, np.ndarray]:
    """Return every item of some chunks: the chunk itself, then its pulses."""
    random = np.random.default_rng(5)
    windows = random.normal(0, 0.3, (chunks, pulses, 2, 256)).astype(np.float32)
    windows[:, :, 1] = 1
    scalars = random.uniform(0, 3, (chunks, pulses, 8)).astype(np.float32)
    number = np.repeat(np.arange(chunks), pulses + 1)
    return {
        "windows": windows[number], "scalars": scalars[number], "pulse": np.tile(np.arange(pulses + 1), chunks),
        "chunk": np.stack([number, number], 1),
    }  # fmt: skip


def test_it_belongs_to_this_preparation(model):
    assert model.preprocessing_hash == DEFAULT.content_hash
    assert model.card["metrics"]["simulated"] is True
    assert model.scores == SCORES
    assert tuple(model.card["reference"]["combined"]) == COMBINED


def test_files_stay_small():
    assert sum(path.stat().st_size for path in (SHIPPED / "leela").iterdir()) < 1_500_000


@pytest.mark.parametrize("pulses", [1, 3, 8])
def test_a_chunk_is_its_strangest_pulse(model, pulses):
    found = model.predict(rows(6, pulses))
    anomaly = found["anomaly"].reshape(6, pulses + 1)
    np.testing.assert_array_equal(anomaly[:, 0], anomaly[:, 1:].max(axis=1))
    latent = found["latent"].reshape(6, pulses + 1, -1)
    strangest = anomaly[:, 1:].argmax(axis=1)
    np.testing.assert_array_equal(latent[:, 0], latent[np.arange(6), 1 + strangest])
    assert found["probabilities"].sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert ((anomaly >= 0) & (anomaly <= 1)).all()


PULSE_AT = 1560


def crops(steps: tuple[int, ...]) -> list[PreparedChunk]:
    """Return prepared crops of one stretch of noise: a pulse in the middle, a stronger one beyond some crops' edge."""
    [simulated] = simulate(1, 4)
    chunk = chunk_of(AvroRecord(0, simulated.record, b""))
    stretch = np.random.default_rng(2).normal(0, 30, 3072)
    for at, strength in ((PULSE_AT, 900), (2078, 2000)):
        since = np.arange(200) - 40.0
        stretch[at - 40 : at + 160] += strength * np.sin(since * 0.5) * np.exp(-np.abs(since) / 12)
    return [prepare(dataclasses.replace(chunk, samples=stretch[1024 + step : 2048 + step])) for step in steps]


def test_a_pulse_is_as_strange_wherever_in_its_chunk_it_lies(model):
    found, latents = [], []
    steps = (0, -64, -32, 32, 64)
    for step, crop in zip(steps, crops(steps), strict=True):
        away = [abs(pulse.peak + 1024 + step - PULSE_AT) for pulse in crop.pulses]
        at = away.index(min(away))
        batch = {name: array[None] for name, array in crop.arrays.items()}
        one = model.predict({**batch, "pulse": np.array([at + 1]), "chunk": np.zeros((1, 2), int)})
        found.append([one["anomaly"][0], *(one["scores"][0, SCORES.index(name)] for name in COMBINED)])
        latents.append(one["latent"][0])
    np.testing.assert_allclose(found, found[:1] * 5, rtol=0, atol=0.01)
    assert np.abs(np.subtract(latents, latents[0])).max() > 0.1  # it does know the other pulse, where there is one


def test_company_in_a_batch_changes_nothing(model):
    batch = rows(70, 2)
    together = model.predict(batch)
    alone = model.predict({name: array[100:101] for name, array in batch.items()})
    for name, values in alone.items():
        np.testing.assert_allclose(values[0], together[name][100], rtol=1e-4, atol=1e-5)


def test_chunks_of_other_numbers_of_pulses_change_nothing(model):
    one, three = rows(4, 1), rows(4, 3)
    apart = [model.predict(batch) for batch in (one, three)]
    padded = [
        {
            name: np.pad(array, [(0, 0), (0, 8 - array.shape[1]), *[(0, 0)] * (array.ndim - 2)])
            if name in ("windows", "scalars")
            else array
            for name, array in batch.items()
        }
        for batch in (one, {**three, "chunk": three["chunk"] + 100})
    ]
    together = model.predict({name: np.concatenate([batch[name] for batch in padded]) for name in one})
    for name, values in together.items():
        expected = np.concatenate([batch[name] for batch in apart])
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_other_shapes_are_refused(model):
    batch = rows(1, 1)
    with pytest.raises(ModelError, match="lacks"):
        model.predict({"stamps": batch["windows"]})
    with pytest.raises(ModelError, match="another model"):
        model.predict({**batch, "windows": batch["windows"][..., :128]})


def test_a_model_of_another_stream_is_refused():
    with pytest.raises(ModelError, match="not of leela"):
        load(SHIPPED / "ztf", "cpu")


def test_a_damaged_graph_is_found_before_the_first_chunk(tmp_path: Path):
    folder = tmp_path / "leela"
    shutil.copytree(SHIPPED / "leela", folder)
    (folder / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="damaged"):
        load(folder, "cpu")
    assert json.loads((folder / "card.json").read_text())["stream"] == "leela"


@pytest.mark.parametrize("scores", [[], ["reconstruction"]])
def test_a_card_that_names_other_scores_than_the_graph_gives(tmp_path: Path, scores: list[str]):
    shutil.copytree(SHIPPED / "leela", tmp_path / "model")
    card = tmp_path / "model" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"scores": scores}))
    with pytest.raises(ModelError, match="scores"):
        load(tmp_path / "model", "cpu")
