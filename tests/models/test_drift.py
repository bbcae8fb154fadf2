"""Energy distance: what chance gives, what a shift gives, and the sample that stays with a model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from fulgor.errors import ModelError
from fulgor.models.card import read_card
from fulgor.models.drift import LARGEST_SAMPLE, SAMPLE, Sample, attach_sample, compare, read_reference
from fulgor.models.serving import SHIPPED
from fulgor.models.store import model_files


def cloud(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 16)) + shift


def test_the_distance_is_the_defined_one():
    one, other = cloud(30, 0), cloud(50, 1, 0.3)
    expected = 2 * cdist(one, other).mean() - cdist(one, one).mean() - cdist(other, other).mean()
    assert compare(one, other).distance == pytest.approx(expected, rel=1e-9)


def test_the_same_distribution_is_called_drifted_as_rarely_as_promised():
    found = [compare(cloud(60, 2 * seed), cloud(90, 2 * seed + 1)) for seed in range(60)]
    drifted = sum(one.distance > one.level for one in found)
    assert drifted <= 8  # 3 expected; more than 8 has a chance below 1 %
    assert 0.3 < np.mean([one.p_value for one in found]) < 0.7


def test_a_shift_is_found():
    found = compare(cloud(100, 1, 0.4), cloud(100, 2))
    assert found.distance > 2 * found.level
    assert found.p_value == pytest.approx(1 / 200)


def test_too_few_are_compared_with_nothing():
    with pytest.raises(ModelError, match="at least 20 of one size"):
        compare(cloud(19, 0), cloud(100, 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED / "ztf", tmp_path / "model"))


def made_up(card: dict, count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    latents = random.normal(size=(count, card["latent"])).astype(np.float32)
    return latents, random.exponential(size=(count, len(card["scores"]))).astype(np.float32)


def test_a_sample_travels_with_the_model_and_changes_no_hash(folder: Path):
    before = read_card(folder)
    latents, scores = made_up(before, LARGEST_SAMPLE + 200)
    latents[3] = np.nan
    card = attach_sample(folder, latents, scores)
    assert card["model_hash"] == before["model_hash"]
    assert (card["sample"]["file"], card["sample"]["size"]) == (SAMPLE, LARGEST_SAMPLE)
    files = model_files(folder)
    sample = Sample.read(files)
    assert sample is not None
    assert sample.latents.shape == (LARGEST_SAMPLE, 64)
    rows = {tuple(row) for row in latents.tolist()}
    assert all(tuple(row) in rows for row in sample.latents.tolist())
    anomaly = read_reference(files).anomaly(sample.scores)
    assert (anomaly > sample.threshold(read_reference(files))).mean() == pytest.approx(0.01, abs=0.001)


def test_a_damaged_sample_is_found(folder: Path):
    card = read_card(folder)
    attach_sample(folder, *made_up(card, 30))
    (folder / SAMPLE).write_bytes(b"cut")
    with pytest.raises(ModelError, match="is missing, damaged or of another model"):
        model_files(folder)
    with pytest.raises(ModelError, match="attach its sample again"):
        Sample.read({SAMPLE: b"cut"})
    assert Sample.read({}) is None


def test_a_sample_of_another_model_is_refused(folder: Path):
    card, before = read_card(folder), (folder / "card.json").read_text()
    latents, scores = made_up(card, 30)
    with pytest.raises(ModelError, match="not those of model"):
        attach_sample(folder, latents[:, :3], scores)
    with pytest.raises(ModelError, match="too few"):
        attach_sample(folder, latents[:10], scores[:10])
    assert (folder / "card.json").read_text() == before
