"""The recipe and its hash."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

import fulgor.preprocessing.ztf
from fulgor.preprocessing.ztf import ALERCE, DEFAULT, Recipe, recipe


def test_the_hash_names_parameters_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(DEFAULT.content_hash) == 16
    assert Recipe().content_hash == DEFAULT.content_hash
    others: dict[str, Any] = {
        "scaling": "minmax", "size": 21, "softening": 2.0, "noise_quantile": 0.2, "max_pixel": 1e8,
        "sequence_length": 16,
    }  # fmt: skip
    assert set(others) == {field.name for field in dataclasses.fields(Recipe)}
    hashes = {dataclasses.replace(DEFAULT, **{name: value}).content_hash for name, value in others.items()}
    assert len(hashes | {DEFAULT.content_hash, ALERCE.content_hash}) == len(others) + 2
    before = DEFAULT.content_hash
    monkeypatch.setattr(recipe, "PREPARATION_VERSION", recipe.PREPARATION_VERSION + 1)
    assert DEFAULT.content_hash != before


@pytest.mark.parametrize(
    "changes",
    [{"size": 62}, {"size": 65}, {"size": -1}, {"softening": 0.0}, {"noise_quantile": 0.5}, {"sequence_length": 0}],
)
def test_impossible_recipes(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Recipe(**changes)


def test_public_names() -> None:
    for name in fulgor.preprocessing.ztf.__all__:
        assert hasattr(fulgor.preprocessing.ztf, name)


def test_importing_costs_neither_astropy_nor_torch() -> None:
    code = "import fulgor.preprocessing.ztf, sys; print([m for m in ('astropy', 'torch', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
