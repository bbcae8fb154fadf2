"""The preparation gives today what it gave when its version was last raised."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from fulgor.preprocessing.ztf import DEFAULT, ZtfFlag, lightcurve, prepare, recipe, stamps

FOLDER = Path(__file__).resolve().parents[1] / "golden"
HINT = "the preparation changed: raise PREPARATION_VERSION, then run tests/golden/regenerate.py"


@pytest.fixture(scope="module")
def golden() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fulgor_golden", FOLDER / "regenerate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(golden: ModuleType, tmp_path: Path) -> Path:
    """The golden files where a test may write."""
    for name in (golden.ALERTS, golden.PREPARED):
        shutil.copy(FOLDER / name, tmp_path)
    return tmp_path


def test_the_arrays_are_the_golden_ones(golden: ModuleType) -> None:
    expected, found = golden.read_golden(FOLDER), golden.prepared_arrays(FOLDER)
    assert golden.differences(expected, found) == [], HINT
    assert int(expected["version"]) == recipe.PREPARATION_VERSION, HINT
    assert str(expected["default/hash"]) == DEFAULT.content_hash, HINT


def test_the_golden_alerts_are_a_varied_dozen(golden: ModuleType) -> None:
    alerts = golden.alerts_of(FOLDER)
    assert len(alerts) == golden.COUNT
    flags = ZtfFlag(0)
    for alert in alerts:
        flags |= prepare(alert).flags
    assert ZtfFlag.NAN_PIXELS | ZtfFlag.ONLY_LIMITS | ZtfFlag.HISTORY_CUT in flags
    assert {alert.fid for alert in alerts} >= {1, 2}


@pytest.mark.parametrize(
    ("module", "name", "value", "touched"),
    [
        (stamps, "MAX_SIGMAS", 3.0, "default/stamps"),
        (lightcurve, "MAGNITUDE_CENTRE", 19.001, "default/sequence"),
        (lightcurve, "LEAST_ERROR", 0.2, "alerce/sequence"),
    ],
)
def test_a_change_without_a_new_version_is_refused(
    golden: ModuleType,
    copy: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
    value: float,
    touched: str,
) -> None:
    monkeypatch.setattr(module, name, value)
    assert touched in golden.differences(golden.read_golden(FOLDER), golden.prepared_arrays(FOLDER))
    with pytest.raises(golden.StaleVersionError, match=touched):
        golden.regenerate(copy)
    monkeypatch.setattr(recipe, "PREPARATION_VERSION", recipe.PREPARATION_VERSION + 1)
    assert touched in golden.regenerate(copy)
    assert golden.regenerate(copy) == []


def test_small_changes_are_seen(golden: ModuleType) -> None:
    expected = golden.read_golden(FOLDER)
    changed = dict(expected)
    changed["default/stamps"] = expected["default/stamps"] + np.float32(1e-3)
    assert golden.differences(expected, changed) == ["default/stamps"]
    changed["default/stamps"] = expected["default/stamps"].astype(np.float64)
    assert golden.differences(expected, changed) == ["default/stamps"]
