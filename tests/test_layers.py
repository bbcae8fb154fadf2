"""Imports point down only, and heavy packages wait until they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# From the ground up; a layer may import those before it. fulgor.errors stands below all.
LAYERS = ("preprocessing", "models", "storage", "consumer", "replay", "fulgor")


def modules() -> list[Path]:
    return [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py")) if not path.is_symlink()]


def layer_of(name: str) -> str | None:
    """Return the layer of an imported name, None where it is not ours or is the ground."""
    parts = name.split(".")
    if parts[0] != "fulgor" or name == "fulgor.errors":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in LAYERS else "fulgor"


def imports(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found.append((node.lineno, node.module or ""))
        elif isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path):
    own = LAYERS.index(path.relative_to(ROOT).parts[0])
    for line, name in imports(path):
        layer = layer_of(name)
        # The package itself (its version) is no layer above.
        if layer is None or name == "fulgor":
            continue
        assert LAYERS.index(layer) <= own, f"{path}:{line}: {name} is a layer above"


def loaded(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import fulgor", {"numpy", "torch", "astropy", "typer", "psycopg"}),
        ("import fulgor.cli.app", {"numpy", "torch", "astropy", "matplotlib", "pandas", "confluent_kafka"}),
        ("import fulgor.consumer.consume", {"torch", "astropy", "matplotlib", "pandas"}),
        ("import fulgor.streams.ztf", {"torch", "astropy", "matplotlib", "pandas"}),
        ("import fulgor.streams.leela", {"torch", "astropy", "matplotlib", "pandas", "onnxruntime"}),
        ("import fulgor.models.serving", {"torch", "onnx"}),
        ("import fulgor.models.leela.serving", {"torch", "onnx"}),
    ],
)
def test_a_room_costs_only_that_room(statement: str, absent: set[str]):
    assert not absent & loaded(statement)
