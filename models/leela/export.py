"""A trained LEELA model as files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fulgor.models.folder import compare, write_folder, write_graph
from fulgor.models.leela.layout import INPUTS, OUTPUTS, PULSES, SCALARS, SCORES, WINDOW
from fulgor.models.leela.network import LeelaNetwork
from fulgor.models.leela.training import TrainedLeela

__all__ = ["example", "export_onnx", "save"]


def example(chunks: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return random input of the graph: chunks of 1, 2, ... pulses."""
    random = torch.Generator().manual_seed(seed)
    counts = 1 + torch.arange(chunks) % PULSES
    present = torch.arange(PULSES) < counts.unsqueeze(1)
    place = torch.where(present, present.flatten().cumsum(0).reshape(present.shape) - 1, -1)
    windows = torch.randn(int(counts.sum()), 2, WINDOW, generator=random) * 0.3
    windows[:, 1] = 1.0
    scalars = torch.randn(chunks, PULSES, SCALARS, generator=random).abs() * present.unsqueeze(2)
    return windows, scalars, place


def export_onnx(network: LeelaNetwork, path: Path) -> None:
    """Write the network as an ONNX graph, and run it against torch.

    Raises
    ------
    ModelError
        ONNX Runtime's results differ from torch's by more than the tolerance.
    """
    chunks, pulses = torch.export.Dim("chunks"), torch.export.Dim("pulses")
    dynamic = ({0: pulses}, {0: chunks}, {0: chunks})
    write_graph(network, path, example(3), inputs=INPUTS, outputs=OUTPUTS, dynamic=dynamic)
    inputs = example(2 * PULSES + 1, seed=1)
    compare(network, path, inputs, inputs=INPUTS, outputs=OUTPUTS, present=inputs[2].numpy() >= 0)


def save(
    model: TrainedLeela, directory: Path, *, name: str, preprocessing_hash: str, data: Mapping[str, Any]
) -> dict[str, Any]:
    """Write a model folder, and return the card as written; parameters as those of `write_folder`.

    Raises
    ------
    ModelError
        The exported graph does not agree with the network.
    """
    return write_folder(
        model,
        directory,
        partial(export_onnx, model.network),
        name=name,
        stream="leela",
        preprocessing_hash=preprocessing_hash,
        scores=SCORES,
        recurrence={"cell": "gru", "directions": 2, "over": "pulses of a chunk", "steps": PULSES},
        data=data,
    )
