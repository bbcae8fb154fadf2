from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fulgor.errors import DeviceError, ModelError
from fulgor.models import device
from fulgor.models.card import CARD, ONNX, model_hash
from fulgor.models.cuda import TorchBackend
from fulgor.models.dataset import Dataset
from fulgor.models.layout import CLASSES, OUTPUTS, SCORES
from fulgor.models.serving import LoadedModel, load


@pytest.fixture(scope="module")
def model(folder: Path) -> LoadedModel:
    return load(folder, "cpu")


def test_shapes_and_ranges(model: LoadedModel, dataset: Dataset) -> None:
    out = model.predict(dataset.take(np.arange(150)))
    shapes = {name: array.shape for name, array in out.items()}
    assert shapes == {
        "latent": (150, 64),
        "stamp_latent": (150, 64),
        "probabilities": (150, 5),
        "scores": (150, 3),
        "anomaly": (150,),
    }
    assert all(array.dtype == np.float32 for array in out.values())
    assert np.allclose(out["probabilities"].sum(1), 1, atol=1e-5)
    assert ((out["anomaly"] >= 0) & (out["anomaly"] <= 1)).all()
    assert (model.classes, model.scores) == (CLASSES, SCORES)
    assert model.preprocessing_hash == "0123456789abcdef"
    assert model.model_hash == model.card["model_hash"]
    assert model.reference_id == model.card["reference"]["id"]


def test_any_batch_gives_the_same_rows(model: LoadedModel, dataset: Dataset) -> None:
    whole = model.predict(dataset.take(np.arange(130)))
    for start, stop in ((0, 1), (63, 66), (100, 130)):
        part = model.predict(dataset.take(np.arange(start, stop)))
        for name, array in part.items():
            np.testing.assert_allclose(array, whole[name][start:stop], rtol=1e-4, atol=1e-5)


def test_an_empty_batch(model: LoadedModel, dataset: Dataset) -> None:
    assert model.predict(dataset.take(np.arange(0)))["latent"].shape == (0, 64)


def test_a_first_alert_has_no_sequence_score(model: LoadedModel, dataset: Dataset) -> None:
    first = np.flatnonzero(dataset.arrays["sequence_mask"].sum(1) == 1)
    out = model.predict(dataset.take(first))
    assert np.isnan(out["scores"][:, 1]).all()
    assert np.isfinite(out["scores"][:, [0, 2]]).all()
    assert np.isfinite(out["anomaly"]).all()


def test_torch_and_onnx_agree(folder: Path, model: LoadedModel, dataset: Dataset) -> None:
    arrays = dataset.take(np.arange(70))
    torch_model = LoadedModel(model.card, TorchBackend(folder, model.card, "cpu"), "cpu")
    ours, theirs = model.predict(arrays), torch_model.predict(arrays)
    for name in OUTPUTS:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5)
    # A rank among the few alerts of this reference is steep: it moves by more than the score that it ranks.
    np.testing.assert_allclose(ours["anomaly"], theirs["anomaly"], atol=1e-3)


def test_wrong_input_is_named(model: LoadedModel, dataset: Dataset) -> None:
    arrays = dataset.take(np.arange(4))
    with pytest.raises(ModelError, match="lacks 'features'"):
        model.predict({name: array for name, array in arrays.items() if name != "features"})
    with pytest.raises(ModelError, match=r"'stamps' has shape \(4, 3, 21, 21\), expected \(N, 3, 63, 63\)"):
        model.predict({**arrays, "stamps": arrays["stamps"][..., :21, :21]})
    with pytest.raises(ModelError, match="same N"):
        model.predict({**arrays, "features": arrays["features"][:3]})


def test_a_cpu_consumer_never_imports_torch(folder: Path) -> None:
    script = f"""
import sys
import numpy as np
from fulgor.models.serving import load
model = load({str(folder)!r}, "cpu")
blank = {{name: np.zeros((3, *shape), np.float32) for name, shape in model._shapes.items()}}
assert model.predict(blank)["latent"].shape == (3, 64)
heavy = {{"torch", "onnx", "onnxscript", "scipy", "pandas"}} & set(sys.modules)
print(sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_cuda_that_is_absent_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "DRIVER", "libnone.so.1")
    with pytest.raises(DeviceError, match="no CUDA device"):
        load(folder, "cuda")


def test_a_gpu_that_torch_cannot_use(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(device, "gpu_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceError, match="cannot use the GPU"):
        load(folder, "cuda")
    with caplog.at_level(logging.WARNING):
        assert load(folder, "auto").device == "cpu"
    assert "running on the CPU" in caplog.text


def test_damage_is_found_before_the_first_alert(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    (copy / ONNX).write_bytes((copy / ONNX).read_bytes()[:-9])
    with pytest.raises(ModelError, match=r"model\.onnx is damaged"):
        load(copy, "cpu")


@pytest.mark.parametrize("sizes", [{}, {"features": -1}, {"steps": 0}, {"steps": 1e300}, {"features": "many"}])
def test_an_architecture_without_sizes_is_an_error(folder: Path, tmp_path: Path, sizes: dict[str, Any]) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    card = json.loads((copy / CARD).read_text())
    card["architecture"] = {**card["architecture"], **sizes} if sizes else {}
    card["model_hash"] = model_hash(card)
    (copy / CARD).write_text(json.dumps(card))
    with pytest.raises(ModelError, match="architecture cannot be read"):
        load(copy, "cpu")
