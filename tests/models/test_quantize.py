from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from fulgor.errors import DeviceError, ModelError
from fulgor.models import serving
from fulgor.models.card import CARD, INT8, ONNX, model_hash, read_card, write_card
from fulgor.models.dataset import Dataset
from fulgor.models.evaluation.folds import reference_objects
from fulgor.models.quantize import divide, quantize
from fulgor.models.serving import load


@pytest.fixture(scope="module")
def twin(folder: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("twin") / "int8"
    quantize(folder, directory, dataset, name="test-int8", data="blobs")
    return directory


def test_the_twin_is_a_model_of_its_own(folder: Path, twin: Path) -> None:
    before, after = read_card(folder), read_card(twin)
    assert after["precision"] == INT8
    assert after["model_hash"] != before["model_hash"]
    assert after["reference"]["id"] != before["reference"]["id"]
    assert after["reference"]["source"] == "blobs"
    assert after["metrics"] == {}  # the other model's are not its own
    assert after["quantized"]["from"] == {"name": "test", "model_hash": before["model_hash"]}
    assert (twin / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()


def test_its_graph_is_part_of_its_hash(twin: Path) -> None:
    card = read_card(twin)
    card["files"]["model.onnx"] = "0" * 64
    assert model_hash(card) != card["model_hash"]


def test_it_serves_like_any_other_and_nearly_agrees(folder: Path, twin: Path, dataset: Dataset) -> None:
    some = dataset.take(np.arange(120))
    before, after = load(folder, "cpu").predict(some), load(twin, "auto").predict(some)
    assert not np.array_equal(after["stamp_latent"], before["stamp_latent"])
    change = np.linalg.norm(after["latent"] - before["latent"], axis=1) / np.linalg.norm(before["latent"], axis=1)
    assert np.median(change) < 0.1
    assert (after["probabilities"].argmax(1) == before["probabilities"].argmax(1)).mean() > 0.9


def test_no_orientation_changes_its_latents_by_a_bit(twin: Path, dataset: Dataset) -> None:
    model, some = load(twin, "cpu"), dataset.take(np.arange(40))
    plain = model.predict(some)
    for element in range(1, 8):
        turned = {name: np.rot90(some[name], element % 4, (2, 3)) for name in ("stamps", "masks")}
        if element >= 4:
            turned = {name: array[..., ::-1] for name, array in turned.items()}
        found = model.predict({**some, **turned})
        np.testing.assert_allclose(found["stamp_latent"], plain["stamp_latent"], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found["latent"], plain["latent"], rtol=1e-5, atol=1e-6)


def test_no_processor_overflows_where_it_adds_two_products_in_16_bits(twin: Path) -> None:
    graph = onnx.load(twin / ONNX).graph
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer]
    kernels = [array.astype(int) for array in weights if array.dtype == np.int8 and array.ndim == 4]
    assert len(kernels) == sum(node.op_type == "Conv" for node in graph.node)
    assert max(2 * 255 * np.abs(kernel).max() for kernel in kernels) <= np.iinfo(np.int16).max


def test_a_gpu_is_not_for_it(twin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "choose", lambda device: "cuda")
    assert load(twin, "auto").device == "cpu"
    with pytest.raises(DeviceError, match="in int8, which runs on the CPU; use --device cpu"):
        load(twin, "cuda")


def test_what_has_no_twin_is_refused(folder: Path, twin: Path, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a model of ztf in int8; give one of ztf in float32"):
        quantize(twin, tmp_path / "again", dataset, name="x", data="x")
    shutil.copytree(folder, tmp_path / "other")
    card = json.loads((tmp_path / "other" / CARD).read_text())
    write_card(tmp_path / "other", {**card, "recurrence": {**card["recurrence"], "history_stamps": True}})
    with pytest.raises(ModelError, match="takes stored stamp latents, for which there is no 8-bit twin"):
        quantize(tmp_path / "other", tmp_path / "again", dataset, name="x", data="x")
    with pytest.raises(ModelError, match=r"30 alerts leave .* each needs 20"):
        quantize(folder, tmp_path / "again", dataset.part(np.arange(30)), name="x", data="x")


def test_the_reference_is_frozen_or_half_and_never_what_was_trained_on(dataset: Dataset) -> None:
    ranges, reference = divide(dataset, {})
    assert not set(dataset.objects[ranges]) & set(dataset.objects[reference])
    used = sorted(set(dataset.objects[reference].tolist()))[:20]
    _, fewer = divide(dataset, {"data": {"used": [{"object": name} for name in used]}})
    assert not set(used) & set(dataset.objects[fewer].tolist())
    names = dataset.objects.astype("U20")
    names[:60] = sorted(reference_objects())[:60]
    frozen = Dataset(dataset.arrays, dataset.labels, names, dataset.classes)
    assert divide(frozen, {})[1].tolist() == list(range(60))
