from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.card import ONNX, read_card
from fulgor.models.cuda import load_network
from fulgor.models.export import _compare, example, export_onnx
from fulgor.models.layout import INPUTS, OUTPUTS
from fulgor.models.symmetry import ORDER, act
from fulgor.models.training import TrainedModel
from fulgor.models.ztf import Architecture, ZtfNetwork


def run(path: Path, inputs: tuple[torch.Tensor, ...]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {name: part.contiguous().numpy() for name, part in zip(INPUTS, inputs, strict=True)}
    return dict(zip(OUTPUTS, session.run(OUTPUTS, feed), strict=True))


@pytest.mark.parametrize("size", [63, 31, 21])
def test_no_orientation_changes_the_latents_of_the_graph(size: int, tmp_path: Path) -> None:
    torch.manual_seed(size)
    network = ZtfNetwork(Architecture(features=7, size=size, steps=3)).eval()
    export_onnx(network, tmp_path / "graph.onnx")
    stamps, masks, *rest = example(network.architecture, 12, seed=9)
    whole = run(tmp_path / "graph.onnx", (stamps, masks, *rest))
    for element in range(ORDER):
        turned = run(tmp_path / "graph.onnx", (act(stamps, element), act(masks, element), *rest))
        for name in ("latent", "stamp_latent"):
            worst = np.abs(turned[name] - whole[name]).max(1) / np.linalg.norm(whole[name], axis=1)
            assert worst.max() <= 1e-6, (name, element)


def test_the_graph_equals_the_network(folder: Path, trained: TrainedModel) -> None:
    inputs = example(trained.network.architecture, 7, seed=4)
    with torch.no_grad():
        expected = trained.network(*inputs)
    found = run(folder / ONNX, inputs)
    for name in OUTPUTS:
        np.testing.assert_allclose(found[name], getattr(expected, name).numpy(), rtol=1e-4, atol=1e-5)


def test_a_graph_that_differs_is_refused(folder: Path, trained: TrainedModel) -> None:
    other = trained.network.expanded()
    other.join[-1].bias += 1e-3
    with pytest.raises(ModelError, match="'latent' differs from torch by"):
        _compare(other, folder / ONNX)


def test_the_graph_holds_plain_convolutions_and_none_of_our_paths(folder: Path) -> None:
    assert b"/models/" not in (folder / ONNX).read_bytes()
    graph = onnx.load(folder / ONNX).graph
    assert sum(node.op_type == "Conv" for node in graph.node) == 4
    assert {len(value.type.tensor_type.shape.dim) for value in graph.input} == {2, 3, 4}
    assert all(value.type.tensor_type.shape.dim[0].dim_param for value in graph.input)


def test_the_weights_come_back(folder: Path, trained: TrainedModel) -> None:
    again = load_network(folder, read_card(folder))
    for name, value in trained.network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
