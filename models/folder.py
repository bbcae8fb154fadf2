"""A trained model as files, whatever the instrument: weights for torch, a graph for ONNX Runtime, and the card."""

from __future__ import annotations

import logging
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from fulgor.errors import ModelError
from fulgor.models.card import ONNX, WEIGHTS, write_card
from fulgor.models.reference import Reference

__all__ = ["TOLERANCE", "Trained", "compare", "write_folder", "write_graph"]

TOLERANCE = 1e-5
"""Largest difference between torch and ONNX Runtime, relative to the largest value of an output."""

OPSET = 20

_PATIENCE_S = 60

log = logging.getLogger(__name__)


class _Architecture(Protocol):
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def latent(self) -> int: ...
    def to_card(self) -> dict[str, Any]: ...


class _Network(Protocol):
    temperature: Tensor

    @property
    def architecture(self) -> _Architecture: ...
    def state_dict(self) -> dict[str, Any]: ...
    def parameters(self) -> Iterable[nn.Parameter]: ...


class Trained(Protocol):
    """What a training returns."""

    @property
    def network(self) -> _Network:
        """The network, with the temperature of its probabilities."""
        ...

    @property
    def reference(self) -> Reference:
        """What ranks its scores."""
        ...

    @property
    def metrics(self) -> dict[str, Any]:
        """Figures on data that were held out."""
        ...

    @property
    def split(self) -> dict[str, Any]:
        """How the data were divided, and how many of each class each part has."""
        ...

    @property
    def training(self) -> dict[str, Any]:
        """Settings and course of the training."""
        ...


def write_folder(
    model: Trained,
    directory: Path,
    export: Callable[[Path], None],
    *,
    name: str,
    stream: str,
    preprocessing_hash: str,
    scores: Sequence[str],
    recurrence: Mapping[str, Any],
    data: Mapping[str, Any],
) -> dict[str, Any]:
    """Write a model folder.

    Parameters
    ----------
    model : Trained
        What to write.
    directory : Path
        Made where it is absent; earlier files of a model are replaced.
    export : callable
        Writes the graph to a file.
    name, stream : str
        Name of the model, and of its stream.
    preprocessing_hash : str
        Content hash of the preparation that made the training data.
    scores : sequence of str
        Names of the graph's scores.
    recurrence : mapping
        What the model remembers, and over what.
    data : mapping
        Where the data come from, whether they are simulated, and figures on other data.

    Returns
    -------
    dict
        The card as written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in model.network.state_dict().items()}, directory / WEIGHTS)
    (directory / WEIGHTS).chmod(0o644)  # safetensors writes for the owner only
    export(directory / ONNX)
    made = {
        "name": name, "stream": stream, "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_revision": _revision(), "scores": list(scores), "preprocessing_hash": preprocessing_hash,
        "recurrence": dict(recurrence), "data": dict(data),
    }  # fmt: skip
    return write_card(directory, made | _told(model, simulated=data.get("simulated")))


def _told(model: Trained, *, simulated: bool | None) -> dict[str, Any]:
    """Return what the card says of the network, its training and its figures."""
    network, architecture = model.network, model.network.architecture
    return {
        "seed": model.training["seed"],
        "classes": list(architecture.classes),
        "latent": architecture.latent,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "architecture": architecture.to_card(),
        "calibration": {"temperature": float(network.temperature), "class_prior": _prior(model)},
        "split": model.split,
        "metrics": {"simulated": simulated, **model.metrics},
        "training": model.training,
        "reference": model.reference.to_card(),
    }


def _prior(model: Trained) -> dict[str, float]:
    """Return the prior behind the probabilities: the loss weighs all classes that occur alike."""
    counts = model.split["parts"]["train"]
    occurring = [label for label in model.network.architecture.classes if counts[label]]
    return {label: (label in occurring) / len(occurring) for label in model.network.architecture.classes}


def _revision() -> str | None:
    """Return the git revision of this source; None where it is installed rather than checked out, or git is stuck."""
    root = Path(__file__).resolve().parents[1]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    command = [git, "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:  # what hours of training have made is not to be lost for it
        log.warning("git has not told the revision of this source in %d s: the card goes without", _PATIENCE_S)
        return None
    return done.stdout.strip() or None


def write_graph(
    network: nn.Module, path: Path, example: tuple[Tensor, ...], *,
    inputs: Sequence[str], outputs: Sequence[str], dynamic: dict[str, Any] | tuple[Any, ...],
) -> None:  # fmt: skip
    """Write a network as an ONNX graph.

    Parameters
    ----------
    network : Module
        What to write.
    path : Path
        The file.
    example : tuple of Tensor
        Input of the right shapes.
    inputs, outputs : sequence of str
        Names of the graph's inputs and outputs.
    dynamic : dict or tuple
        The axes of each input that may have any length.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells that torchvision is absent, which we do not use
    with warnings.catch_warnings():
        # The exporter warns of its own deprecations and of the shared batch axis, which is what we want.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            example,
            str(path),
            dynamo=True,
            optimize=False,  # ONNX Runtime does it at load; here it takes a minute
            verbose=False,
            external_data=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic,
        )
    _strip(path)


def _strip(path: Path) -> None:
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


def compare(
    network: nn.Module, path: Path, example: tuple[Tensor, ...], *,
    inputs: Sequence[str], outputs: Sequence[str], present: NDArray[np.bool_] | None = None,
) -> None:  # fmt: skip
    """Run a graph against torch.

    Parameters
    ----------
    network, path, inputs, outputs
        As for `write_graph`.
    example : tuple of Tensor
        What both are run on.
    present : ndarray of bool, optional
        Which places of each output count; default: all.

    Raises
    ------
    ModelError
        The results differ by more than :data:`TOLERANCE`.
    """
    with torch.no_grad():
        expected = [part.numpy() for part in network(*example)]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {name: value.numpy() for name, value in zip(inputs, example, strict=True)})
    counted = slice(None) if present is None else present
    for name, ours, theirs in zip(outputs, expected, found, strict=True):
        off = _difference(ours[counted], np.asarray(theirs)[counted])
        if not off <= TOLERANCE:
            raise ModelError(f"the exported graph's {name!r} differs from torch by {off:.1e} (> {TOLERANCE:.0e})")


def _difference(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Return the largest difference relative to the largest value; infinite where NaN does not meet NaN."""
    if not np.array_equal(np.isnan(ours), np.isnan(theirs)):
        return float("inf")
    scale = float(np.nanmax(np.abs(ours), initial=1e-6))
    return float(np.nanmax(np.abs(ours - theirs), initial=0.0)) / scale
