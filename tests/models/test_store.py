"""Models on disk: found by hash, never by half, never damaged."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from fulgor.errors import ModelError
from fulgor.models.serving import SHIPPED
from fulgor.models.store import ModelStore, model_files, reference_id


def toy_model(reference: str = "r1", **card: object) -> dict[str, bytes]:
    weights = b"some weights"
    fields = {
        "model_hash": "abc123", "reference": {"id": reference},
        "files": {"weights.safetensors": hashlib.sha256(weights).hexdigest()}, **card,
    }  # fmt: skip
    return {"card.json": json.dumps(fields).encode(), "weights.safetensors": weights}


def written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_what_is_kept_is_found(tmp_path: Path):
    store = ModelStore(tmp_path / "store")
    assert store.find("abc123", "r1") is None
    folder = store.keep(toy_model())
    assert store.find("abc123", "r1") == folder
    assert model_files(folder) == toy_model()
    assert [entry.name for entry in store.root.iterdir()] == ["abc123"]


def test_another_reference_takes_the_place_of_the_first(tmp_path: Path):
    store = ModelStore(tmp_path)
    store.keep(toy_model("r1"))
    store.keep(toy_model("r2"))
    assert store.find("abc123", "r1") is None
    assert store.find("abc123", "r2") is not None
    assert [entry.name for entry in store.root.iterdir()] == ["abc123"]


@pytest.mark.parametrize("there", [None, "r0"])
def test_processes_that_keep_a_model_at_the_same_moment_do_not_disturb_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str | None
):
    store = ModelStore(tmp_path)
    if there:
        store.keep(toy_model(there))
    rename, others = Path.rename, []

    def kept() -> int:
        return store.keep(toy_model("r1")).stat().st_ino

    def slow(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        others.append(executor.submit(kept))
        wait(others, 0.1)  # it would be done long ago if it did not wait for its turn
        renamed = rename(self, target)
        wait(others, 0.1)
        return renamed

    monkeypatch.setattr(Path, "rename", slow)
    with ThreadPoolExecutor(1) as executor:
        first = kept()
        assert others[0].result(60) == first
    assert (tmp_path / "abc123").stat().st_ino == first
    assert [entry.name for entry in store.root.iterdir()] == ["abc123"]


def test_a_damaged_model_is_as_good_as_none(tmp_path: Path):
    store = ModelStore(tmp_path)
    (store.keep(toy_model()) / "weights.safetensors").write_bytes(b"other weights")
    assert store.find("abc123", "r1") is None
    with pytest.raises(ModelError, match="is missing, damaged or of another model"):
        store.keep(toy_model() | {"weights.safetensors": b"cut"})
    assert [entry.name for entry in store.root.iterdir()] == ["abc123"]


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "card.json", "a/b"])
def test_a_card_that_names_files_elsewhere(tmp_path: Path, name: str):
    folder = written(tmp_path / "m", toy_model(files={name: "0" * 64}))
    with pytest.raises(ModelError, match="names a file"):
        model_files(folder)


@pytest.mark.parametrize("model_hash", ["../up", "", "a/b"])
def test_a_hash_that_is_none(tmp_path: Path, model_hash: str):
    with pytest.raises(ModelError, match="no hash of a model"):
        ModelStore(tmp_path).find(model_hash, None)


def test_a_folder_that_is_no_model(tmp_path: Path):
    with pytest.raises(ModelError, match=r"is this the folder of a model\?"):
        model_files(tmp_path)
    (tmp_path / "card.json").write_text("[]")
    with pytest.raises(ModelError, match="names no files or no hash"):
        model_files(tmp_path)


def test_a_store_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="FULGOR_MODEL_STORE"):
        ModelStore(tmp_path / "file").keep(toy_model())


def test_the_shipped_model_travels_whole(tmp_path: Path):
    files = model_files(SHIPPED / "ztf")
    assert sum(map(len, files.values())) > 1_000_000
    card = json.loads(files["card.json"])
    folder = ModelStore(tmp_path).keep(files)
    assert ModelStore(tmp_path).find(card["model_hash"], reference_id(card)) == folder
