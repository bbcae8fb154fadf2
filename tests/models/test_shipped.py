"""The ZTF models that come with the package: whole, small, and made for the preparation that comes with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fulgor.errors import MalformedError
from fulgor.models.card import ONNX, WEIGHTS
from fulgor.models.evaluation.folds import reference_objects
from fulgor.models.layout import AHEAD, BANDS, CLASSES, DETECTION, LOG_ERROR, MAGNITUDE, SINCE_PREVIOUS, STAMP_SIZE
from fulgor.models.serving import SHIPPED, LoadedModel, load
from fulgor.preprocessing import ztf
from fulgor.replay.archive import open_archive

NAMES = ("ztf", "ztf-sim")


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> LoadedModel:
    return load(SHIPPED / request.param, "cpu")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small(name: str) -> None:
    assert sum((SHIPPED / name / file).stat().st_size for file in (WEIGHTS, ONNX)) < 2_000_000


def test_it_was_trained_on_the_preparation_that_ships(model: LoadedModel) -> None:
    assert model.preprocessing_hash == ztf.DEFAULT.content_hash
    assert model.card["architecture"]["features"] == len(ztf.FEATURE_NAMES)
    assert model.card["architecture"]["steps"] == ztf.DEFAULT.sequence_length
    assert model.classes == CLASSES


def test_the_layout_is_the_preparation_s() -> None:
    assert STAMP_SIZE == ztf.STAMP_SIZE
    columns = ztf.SEQUENCE_COLUMNS
    places = (AHEAD, SINCE_PREVIOUS, MAGNITUDE, LOG_ERROR, DETECTION)
    names = ("log_days_before", "log_days_since_previous", "magnitude", "log_error", "is_detection")
    assert [columns[place] for place in places] == list(names)
    assert columns[BANDS] == ("is_g", "is_r")


def test_the_cards_are_honest() -> None:
    tuned, simulated = (load(SHIPPED / name, "cpu").card for name in NAMES)
    for card in (tuned, simulated):
        assert card["metrics"]["accuracy"] > card["metrics"]["metadata_only"]["accuracy"]
        assert card["metrics"]["simulated"] is card["data"]["simulated"]
    assert simulated["data"]["simulated"] is True
    assert tuned["data"]["simulated"] is False
    assert tuned["data"]["base"] == {"name": "ztf-sim", "model_hash": simulated["model_hash"]}
    used = tuned["data"]["used"]
    assert len(used) == tuned["data"]["alerts"] == tuned["metrics"]["alerts"] == 510
    assert all(set(one) == {"candid", "object", "label", "origin"} and all(one.values()) for one in used)
    assert not {one["object"] for one in used} & reference_objects()


def test_blank_stamps_give_no_certainty(model: LoadedModel) -> None:
    steps, features = ztf.DEFAULT.sequence_length, len(ztf.FEATURE_NAMES)
    blank = {
        "stamps": np.zeros((2, 3, STAMP_SIZE, STAMP_SIZE), np.float32),
        "masks": np.zeros((2, 3, STAMP_SIZE, STAMP_SIZE), np.float32),
        "sequence": np.zeros((2, steps, 8), np.float32),
        "sequence_mask": np.zeros((2, steps), np.float32),
        "features": np.zeros((2, features), np.float32),
    }
    blank["masks"][1] = 1.0  # constant stamps
    blank["sequence_mask"][:, -1] = 1.0
    found = model.predict(blank)
    assert np.isfinite(found["latent"]).all()
    assert np.isfinite(found["probabilities"]).all()
    assert found["probabilities"].max() < 0.95
    assert np.isnan(found["scores"][0, model.scores.index("reconstruction")])


def real_arrays(shared: Path) -> Iterator[dict[str, np.ndarray]]:
    decoder = ztf.ZtfDecoder()
    for message in open_archive(shared / "data" / "ztf" / "packets"):
        for alert in decoder(message.value):
            if not isinstance(alert, MalformedError) and not (prepared := ztf.prepare(alert)).unscorable:
                yield prepared.arrays


@pytest.mark.real
def test_no_orientation_of_real_stamps_changes_the_latents(shared: Path, model: LoadedModel) -> None:
    alerts = [arrays for arrays, _ in zip(real_arrays(shared), range(200), strict=False)]
    batch = {name: np.stack([arrays[name] for arrays in alerts]) for name in alerts[0]}
    whole = model.predict(batch)
    assert len(alerts) == 200
    for element in range(1, 8):
        turned = {name: np.rot90(batch[name], element % 4, (2, 3)) for name in ("stamps", "masks")}
        if element >= 4:
            turned = {name: array[..., ::-1] for name, array in turned.items()}
        again = model.predict({**batch, **turned})
        for name in ("latent", "stamp_latent"):
            worst = np.abs(again[name] - whole[name]).max(axis=1) / np.linalg.norm(whole[name], axis=1)
            assert worst.max() <= 1e-6, (name, element)
        np.testing.assert_allclose(again["anomaly"], whole["anomaly"], atol=1e-4)
