from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fulgor.errors import ModelError
from fulgor.models.card import CARD, ONNX, WEIGHTS, file_hash, model_hash, read_card, verify


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "model"))


def change(copy: Path, **fields: Any) -> None:
    card = json.loads((copy / CARD).read_text())
    (copy / CARD).write_text(json.dumps({**card, **fields}))


def test_the_card_says_what_matters(folder: Path) -> None:
    card = read_card(folder)
    verify(folder, card)
    assert card["stream"] == "ztf"
    assert card["preprocessing_hash"] == "0123456789abcdef"
    assert card["data"]["simulated"] is card["metrics"]["simulated"] is True
    assert sum(card["calibration"]["class_prior"].values()) == pytest.approx(1)
    assert card["split"]["by"] == "object"
    assert card["reference"]["size"] > 0
    assert card["metrics"]["accuracy"] > 0
    assert len(card["model_hash"]) == 16


def test_the_hash_covers_what_a_result_depends_on(folder: Path) -> None:
    card = read_card(folder)
    for name, value in (
        ("preprocessing_hash", "f" * 16),
        ("calibration", {"temperature": 2.0}),
        ("recurrence", {"cell": "none"}),
        ("precision", "int8"),
        ("files", {**card["files"], WEIGHTS: "0" * 64}),
    ):
        assert model_hash({**card, name: value}) != card["model_hash"], name
    assert model_hash({**card, "name": "other", "metrics": {}, "reference": {}}) == card["model_hash"]


@pytest.mark.parametrize("name", [WEIGHTS, ONNX])
def test_a_damaged_file_is_found(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name} is damaged or belongs to another model"):
        verify(copy, read_card(copy))


@pytest.mark.parametrize("name", [WEIGHTS, ONNX])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ModelError, match=f"{name} cannot be read"):
        verify(copy, read_card(copy))


def test_missing_folder_and_card(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no model folder .*/nowhere"):
        read_card(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"card\.json cannot be read .*is this the folder of a model"):
        read_card(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "\xff"])
def test_a_damaged_card_is_an_error(copy: Path, text: str) -> None:
    (copy / CARD).write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match=r"card\.json is damaged"):
        read_card(copy)


def test_a_changed_card_is_found(copy: Path) -> None:
    change(copy, preprocessing_hash="f" * 16)
    with pytest.raises(ModelError, match="was changed after its export"):
        read_card(copy)


@pytest.mark.parametrize(("field", "value"), [("classes", "AGN"), ("reference", None), ("latent", "64")])
def test_a_field_of_the_wrong_kind_is_named(copy: Path, field: str, value: object) -> None:
    change(copy, **{field: value})
    with pytest.raises(ModelError, match=f"no usable field '{field}'"):
        read_card(copy)


def test_another_format_is_refused(copy: Path) -> None:
    change(copy, format=99)
    with pytest.raises(ModelError, match="has format 99"):
        read_card(copy)


def test_a_card_that_lists_other_files_is_refused(copy: Path) -> None:
    change(copy, files={"../../etc/passwd": "0"})
    with pytest.raises(ModelError, match="does not list"):
        read_card(copy)


def test_an_absurd_size_is_not_read(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fulgor.models.card.LARGEST_CARD", 10)
    with pytest.raises(ModelError, match="larger than any card"):
        read_card(copy)
    monkeypatch.setattr("fulgor.models.card.LARGEST_FILE", 10)
    with pytest.raises(ModelError, match="more than any model of ours"):
        file_hash(copy / ONNX)
