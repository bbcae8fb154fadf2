"""The model that comes with the package: whole, small, and made for the preparation that comes with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fulgor.errors import MalformedError
from fulgor.models.card import ONNX, WEIGHTS
from fulgor.models.layout import AHEAD, BANDS, CLASSES, DETECTION, LOG_ERROR, MAGNITUDE, SINCE_PREVIOUS, STAMP_SIZE
from fulgor.models.serving import SHIPPED, LoadedModel, load
from fulgor.preprocessing import ztf
from fulgor.replay.archive import open_archive

FOLDER = SHIPPED / "ztf"


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load(FOLDER, "cpu")


def test_it_is_small() -> None:
    assert sum((FOLDER / name).stat().st_size for name in (WEIGHTS, ONNX)) < 2_000_000


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


def test_the_card_is_honest(model: LoadedModel) -> None:
    card = model.card
    assert card["data"]["simulated"] is True
    assert card["metrics"]["accuracy"] > card["metrics"]["metadata_only"]["accuracy"]
    assert card["metrics"]["balanced_accuracy"] > 0.85


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
