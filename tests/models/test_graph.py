from __future__ import annotations

from pathlib import Path

import pytest

from fulgor.errors import ModelError
from fulgor.models.card import ONNX
from fulgor.models.graph import Graph
from fulgor.models.layout import INPUTS, OUTPUTS
from fulgor.models.serving import SHIPPED


def test_a_file_that_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / ONNX).write_bytes(b"not a graph")
    with pytest.raises(ModelError, match=r"model\.onnx cannot be loaded"):
        Graph(tmp_path / ONNX, INPUTS, OUTPUTS, 1)


def test_another_models_graph() -> None:
    with pytest.raises(ModelError, match="takes windows, scalars, place instead of stamps, masks"):
        Graph(SHIPPED / "leela" / ONNX, INPUTS, OUTPUTS, 1)
