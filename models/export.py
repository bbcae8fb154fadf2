"""A trained model as files: weights for torch, a graph for ONNX Runtime, and the card."""

from __future__ import annotations

import logging
import shutil
import subprocess
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from fulgor.errors import ModelError
from fulgor.models.card import ONNX, WEIGHTS, write_card
from fulgor.models.layout import COLUMNS, INPUTS, OUTPUTS, SCORES, STAMP_SIZE
from fulgor.models.training import TrainedModel
from fulgor.models.ztf import Architecture, ZtfNetwork

__all__ = ["TOLERANCE", "difference", "example", "export_onnx", "revision", "save", "strip_graph"]

TOLERANCE = 1e-5
"""Largest difference between torch and ONNX Runtime, relative to the largest value of an output."""

OPSET = 20


def example(architecture: Architecture, count: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Return random model input of the right shapes, in the order of the network's arguments."""
    random = torch.Generator().manual_seed(seed)
    masks = (torch.rand(count, 3, STAMP_SIZE, STAMP_SIZE, generator=random) > 0.05).float()
    stamps = torch.randn(masks.shape, generator=random) * masks
    lengths = torch.randint(1, architecture.steps + 1, (count, 1), generator=random)
    present = (torch.arange(architecture.steps) >= architecture.steps - lengths).float()
    sequence = torch.rand(count, architecture.steps, COLUMNS, generator=random) * present.unsqueeze(2)
    features = torch.randn(count, architecture.features, generator=random)
    return stamps, masks, sequence, present, features


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
        ONNX Runtime's results differ from torch's by more than :data:`TOLERANCE`.
    """
    plain = network.expanded()
    inputs = example(network.architecture, 2)
    batch = torch.export.Dim("batch")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells that torchvision is absent, which we do not use
    with warnings.catch_warnings():
        # The exporter warns of its own deprecations and of the shared batch axis, which is what we want.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            plain,
            inputs,
            str(path),
            dynamo=True,
            optimize=False,  # ONNX Runtime does it at load; here it takes a minute
            verbose=False,
            external_data=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes={name: {0: batch} for name in INPUTS},
        )
    strip_graph(path)
    _compare(plain, path)


def strip_graph(path: Path) -> None:
    """Remove the source lines that the exporter notes on every node: half the file, and our paths in it."""
    model = onnx.load(path)
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    for value in (*model.graph.value_info, *model.graph.initializer, *model.graph.input, *model.graph.output):
        value.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    model.ClearField("metadata_props")
    onnx.save(model, path)


def _compare(plain: ZtfNetwork, path: Path) -> None:
    inputs = example(plain.architecture, 5, seed=1)
    with torch.no_grad():
        expected = [part.numpy() for part in plain(*inputs)]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)})
    for name, ours, theirs in zip(OUTPUTS, expected, found, strict=True):
        off = difference(ours, theirs)
        if not off <= TOLERANCE:
            raise ModelError(f"the exported graph's {name!r} differs from torch by {off:.1e} (> {TOLERANCE:.0e})")


def difference(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Return the largest difference relative to the largest value; infinite where NaN does not meet NaN."""
    if not np.array_equal(np.isnan(ours), np.isnan(theirs)):
        return float("inf")
    scale = float(np.nanmax(np.abs(ours), initial=1e-6))
    return float(np.nanmax(np.abs(ours - theirs), initial=0.0)) / scale


def save(
    model: TrainedModel,
    directory: Path,
    *,
    name: str,
    preprocessing_hash: str,
    data: Mapping[str, Any],
    stream: str = "ztf",
) -> dict[str, Any]:
    """Write a model folder.

    Parameters
    ----------
    model : TrainedModel
        What to write.
    directory : Path
        Made where it is absent; earlier files of a model are replaced.
    name : str
        Name of the model.
    preprocessing_hash : str
        Content hash of the preparation that made the training data.
    data : mapping
        Where the data come from, whether they are simulated, and figures on other data.
    stream : str
        Name of the stream.

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
    classes = list(architecture.classes)
    return write_card(
        directory,
        {
            "name": name,
            "stream": stream,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "git_revision": revision(),
            "seed": model.training["seed"],
            "classes": classes,
            "scores": list(SCORES),
            "latent": architecture.latent,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "architecture": architecture.to_card(),
            "preprocessing_hash": preprocessing_hash,
            "calibration": {
                "temperature": float(network.temperature),
                "class_prior": _prior(model),
            },
            "recurrence": {"cell": "decay-gru", "steps": architecture.steps, "history_stamps": False},
            "data": dict(data),
            "split": model.split,
            "metrics": {"simulated": data.get("simulated"), **model.metrics},
            "training": model.training,
            "reference": model.reference.to_card(),
        },
    )


def _prior(model: TrainedModel) -> dict[str, float]:
    """Return the prior behind the probabilities: the loss weighs all classes that occur alike."""
    counts = model.split["parts"]["train"]
    occurring = [label for label in model.network.architecture.classes if counts[label]]
    return {label: (label in occurring) / len(occurring) for label in model.network.architecture.classes}


def revision() -> str | None:
    """Return the git revision of this source; None where it is installed rather than checked out."""
    root = Path(__file__).resolve().parents[1]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    done = subprocess.run([git, "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False, timeout=10)
    return done.stdout.strip() or None
