"""A trained ZTF model as files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fulgor.models.folder import compare, write_folder, write_graph
from fulgor.models.layout import COLUMNS, OUTPUTS, SCORES, STAMP_SIZE
from fulgor.models.training import TrainedModel
from fulgor.models.ztf import Architecture, ZtfNetwork

__all__ = ["example", "export_onnx", "save"]

KNOWN = 0.5
"""Share of the earlier steps whose stamp latent an example gives."""


def example(architecture: Architecture, count: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Return random model input of the right shapes, in the order of the network's arguments."""
    random = torch.Generator().manual_seed(seed)
    masks = (torch.rand(count, 3, STAMP_SIZE, STAMP_SIZE, generator=random) > 0.05).float()
    stamps = torch.randn(masks.shape, generator=random) * masks
    lengths = torch.randint(1, architecture.steps + 1, (count, 1), generator=random)
    present = (torch.arange(architecture.steps) >= architecture.steps - lengths).float()
    sequence = torch.rand(count, architecture.steps, COLUMNS, generator=random) * present.unsqueeze(2)
    features = torch.randn(count, architecture.features, generator=random)
    if not architecture.history_stamps:
        return stamps, masks, sequence, present, features
    history = torch.randn(count, architecture.steps - 1, architecture.latent, generator=random)
    known = (torch.rand(count, architecture.steps - 1, generator=random) < KNOWN).float() * present[:, :-1]
    return stamps, masks, sequence, present, features, history, known


def export_onnx(network: ZtfNetwork, path: Path) -> None:
    """Write the network as an ONNX graph with plain convolutions, and run it against torch.

    Parameters
    ----------
    network : ZtfNetwork
        Trained; it is not changed.
    path : Path
        The file.

    Raises
    ------
    ModelError
        ONNX Runtime's results differ from torch's by more than :data:`fulgor.models.folder.TOLERANCE`.
    """
    plain = network.expanded()
    batch = torch.export.Dim("batch")
    dynamic = {name: {0: batch} for name in network.inputs}
    write_graph(plain, path, example(network.architecture, 2), inputs=network.inputs, outputs=OUTPUTS, dynamic=dynamic)
    _compare(plain, path)


def _compare(plain: ZtfNetwork, path: Path) -> None:
    compare(plain, path, example(plain.architecture, 5, seed=1), inputs=plain.inputs, outputs=OUTPUTS)


def save(
    model: TrainedModel,
    directory: Path,
    *,
    name: str,
    preprocessing_hash: str,
    data: Mapping[str, Any],
    stream: str = "ztf",
) -> dict[str, Any]:
    """Write a model folder, and return the card as written; parameters as those of `write_folder`.

    Raises
    ------
    ModelError
        The exported graph does not agree with the network.
    """
    architecture = model.network.architecture
    return write_folder(
        model,
        directory,
        partial(export_onnx, model.network),
        name=name,
        stream=stream,
        preprocessing_hash=preprocessing_hash,
        scores=SCORES,
        recurrence={
            "cell": architecture.cell,
            "steps": architecture.steps,
            "history_stamps": architecture.history_stamps,
        },
        data=data,
    )
