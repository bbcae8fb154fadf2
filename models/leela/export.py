"""A trained LEELA model as files: weights for torch, a graph for ONNX Runtime, and the card."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file
from torch import Tensor

from fulgor.errors import ModelError
from fulgor.models.card import ONNX, WEIGHTS, write_card
from fulgor.models.export import OPSET, TOLERANCE, difference, revision, strip_graph
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
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells that torchvision is absent, which we do not use
    with warnings.catch_warnings():
        # The exporter warns of its own deprecations and of the shared batch axis, which is what we want.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            example(3),
            str(path),
            dynamo=True,
            optimize=False,  # ONNX Runtime does it at load
            verbose=False,
            external_data=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: pulses}, {0: chunks}, {0: chunks}),
        )
    strip_graph(path)
    _compare(network, path)


def _compare(network: LeelaNetwork, path: Path) -> None:
    inputs = example(2 * PULSES + 1, seed=1)
    with torch.no_grad():
        expected = [part.numpy() for part in network(*inputs)]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)})
    present = inputs[2].numpy() >= 0
    for name, ours, theirs in zip(OUTPUTS, expected, found, strict=True):
        off = difference(ours[present], np.asarray(theirs)[present])
        if not off <= TOLERANCE:
            raise ModelError(f"the exported graph's {name!r} differs from torch by {off:.1e} (> {TOLERANCE:.0e})")


def save(
    model: TrainedLeela, directory: Path, *, name: str, preprocessing_hash: str, data: Mapping[str, Any]
) -> dict[str, Any]:
    """Write a model folder.

    Parameters
    ----------
    model : TrainedLeela
        What to write.
    directory : Path
        Made where it is absent; earlier files of a model are replaced.
    name : str
        Name of the model.
    preprocessing_hash : str
        Content hash of the preparation that made the training data.
    data : mapping
        Where the data come from, and whether they are simulated.

    Returns
    -------
    dict
        The card as written.

    Raises
    ------
    ModelError
        The exported graph does not agree with the network.
    """
    directory.mkdir(parents=True, exist_ok=True)
    network, architecture = model.network, model.network.architecture
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, directory / WEIGHTS)
    (directory / WEIGHTS).chmod(0o644)  # safetensors writes for the owner only
    export_onnx(network, directory / ONNX)
    counts = model.split["parts"]["train"]
    occurring = [label for label in architecture.classes if counts[label]]
    return write_card(
        directory,
        {
            "name": name,
            "stream": "leela",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "git_revision": revision(),
            "seed": model.training["seed"],
            "classes": list(architecture.classes),
            "scores": list(SCORES),
            "latent": architecture.latent,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "architecture": architecture.to_card(),
            "preprocessing_hash": preprocessing_hash,
            "calibration": {
                "temperature": float(network.temperature),
                # The loss weighs all classes that occur alike.
                "class_prior": {label: (label in occurring) / len(occurring) for label in architecture.classes},
            },
            "recurrence": {"cell": "gru", "directions": 2, "over": "pulses of a chunk", "steps": PULSES},
            "data": dict(data),
            "split": model.split,
            "metrics": {"simulated": data.get("simulated"), **model.metrics},
            "training": model.training,
            "reference": model.reference.to_card(),
        },
    )
