"""The public face, and the wheel beside a module of somebody else's with one of our rooms' names."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import fulgor

ROOT = Path(__file__).resolve().parents[1]


def test_public_names_are_these():
    assert fulgor.__all__ == [
        "FulgorError", "ZtfDecoder", "__version__", "anomalies", "check_ledger", "cone", "connect", "load_model",
        "nearest", "object_history", "open_archive", "prepare",
    ]  # fmt: skip


@pytest.mark.parametrize("name", fulgor.__all__)
def test_every_public_name_is_there(name: str):
    assert getattr(fulgor, name) is not None


def test_a_misspelt_name_is_told_what_there_is():
    with pytest.raises(AttributeError, match="open_archive"):
        _ = fulgor.open_achive


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of what is under version control, so that the tree stays clean."""
    work = tmp_path_factory.mktemp("wheel")
    source = work / "source"
    subprocess.run(["git", "clone", "-q", ROOT, source], check=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", work, source],
        check=True, capture_output=True,
    )  # fmt: skip
    [built] = work.glob("*.whl")
    return built


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_the_wheel_holds_one_import_name_and_all_its_data(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"fulgor"}
    for needed in (
        "fulgor/py.typed", "fulgor/storage/migrations/core_0001.sql", "fulgor/models/shipped/ztf/model.onnx",
        "fulgor/models/shipped/ztf/weights.safetensors", "fulgor/models/shipped/ztf/card.json",
        "fulgor/models/shipped/ztf-sim/card.json", "fulgor/models/shipped/ztf-sim/model.onnx",
    ):  # fmt: skip
        assert needed in names


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_a_foreign_models_module_does_not_shadow_ours(wheel: Path, tmp_path: Path):
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False, system_site_packages=True)
    [packages] = (folder / "lib").glob("python3*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    (tmp_path / "models.py").write_text("WHOSE = 'theirs'\n")
    found = subprocess.run(
        [folder / "bin" / "python", "-c", "import models, fulgor.errors; print(models.WHOSE, fulgor.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert found.startswith("theirs ")
    assert str(folder) in found
