"""A model's twin in 8-bit integers: static quantisation of its convolutions by ONNX Runtime's own tool.

The twin is a model of its own, with an id and a reference of its own, for its latents are not those of the
model it was made from and must not be searched or ranked together with them. Only the convolutions of the encoder
change: kernels of one group element's orbit share their scale, so the twin's latents are invariant to the bit,
while matrices and recurrence in integers would cost accuracy and save no time.

Weights are kept to 7 bits. A processor without VNNI adds two products at a time in 16 bits, which 8 bits overflow: the
twin would then depend on the kind of processor, and on how its stamps are turned.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from fulgor.errors import ModelError
from fulgor.models.card import INT8, ONNX, PRECISION, SCORES, WEIGHTS, read_card, used_objects, verify, write_card
from fulgor.models.dataset import Dataset
from fulgor.models.drift import FEWEST, attach_sample
from fulgor.models.evaluation.folds import Index, reference_objects
from fulgor.models.reference import Reference
from fulgor.models.serving import LoadedModel, load

__all__ = ["divide", "quantize"]

OPERATIONS: Final = ("Conv",)

CALIBRATED: Final = 512
"""Alerts at most that tell the ranges of what lies between the layers."""

BATCH: Final = 64

SEED: Final = 0


def divide(dataset: Dataset, card: Mapping[str, Any]) -> tuple[Index, Index]:
    """Return which alerts tell the ranges and which are the new reference: two sets of other objects.

    The reference are the alerts of the objects that are frozen for it, where the data set has enough of them, else
    half of the objects; never one of an object that the model's card lists as trained on.

    Raises
    ------
    ModelError
        Too few alerts are left for either.
    """
    frozen = np.isin(dataset.objects, sorted(reference_objects()))
    if frozen.sum() < FEWEST:
        frozen = np.zeros(len(dataset), dtype=bool)
        frozen[dataset.split({"ranges": 0.5, "reference": 0.5}, SEED)["reference"]] = True
    trained = np.isin(dataset.objects, sorted(used_objects(card)))
    ranges, reference = np.flatnonzero(~frozen)[:CALIBRATED], np.flatnonzero(frozen & ~trained)
    if min(len(ranges), len(reference)) < FEWEST:
        raise ModelError(
            f"{len(dataset)} alerts leave {len(ranges)} to find the ranges and {len(reference)} for the reference, "
            f"each needs {FEWEST}; give more alerts, of objects that the model was not trained on"
        )
    return ranges, reference


def quantize(source: Path, directory: Path, dataset: Dataset, *, name: str, data: str) -> dict[str, Any]:
    """Write the 8-bit twin of a model into a folder.

    Parameters
    ----------
    source : Path
        Folder of a ZTF model in float32.
    directory : Path
        Folder of the twin; made where it is absent.
    dataset : Dataset
        Prepared alerts, see :func:`divide`.
    name, data : str
        Name on the twin's card, and what the alerts are.

    Returns
    -------
    dict
        The card as written; under ``quantized`` what it was made from, and how far the two agree on the reference.

    Raises
    ------
    ModelError
        The model cannot be read, is no ZTF model in float32, or there are too few alerts.
    """
    card = read_card(source)
    verify(source, card)
    _check(source, card)
    ranges, chosen = divide(dataset, card)
    directory.mkdir(parents=True, exist_ok=True)
    for file in (WEIGHTS, SCORES) if card.get("fitted_scores") else (WEIGHTS,):
        shutil.copyfile(source / file, directory / file)
    _write_graph(source / ONNX, directory / ONNX, dataset, ranges)
    # What was measured of the other model is not true of this one.
    fields = {key: value for key, value in card.items() if key not in ("metrics", "sample")}
    made = {"from": {"name": card["name"], "model_hash": card["model_hash"]}, "operations": list(OPERATIONS)}
    told = {**made, "ranges": {"alerts": len(ranges), "data": data}}
    write_card(directory, {**fields, "name": name, "precision": INT8, "metrics": {}, "quantized": told})
    before, after = (_results(load(folder, "cpu"), dataset, chosen) for folder in (source, directory))
    reference = Reference.fit(after["scores"], card["scores"], source=data, combined=card["reference"]["combined"])
    told["agreement"] = _agreement(before, after)
    write_card(directory, {**read_card(directory), "quantized": told, "reference": reference.to_card()})
    return attach_sample(directory, after["latent"], after["scores"])


def _check(source: Path, card: Mapping[str, Any]) -> None:
    if (kind := (card["stream"], card["precision"])) != ("ztf", PRECISION):
        raise ModelError(f"{source} is a model of {kind[0]} in {kind[1]}; give one of ztf in {PRECISION}")
    if card["recurrence"].get("history_stamps"):
        raise ModelError(f"{source} takes stored stamp latents, for which there is no 8-bit twin; give another model")


def _results(model: LoadedModel, dataset: Dataset, index: Index) -> dict[str, NDArray[np.float32]]:
    parts = [model.predict(dataset.take(index[at : at + BATCH])) for at in range(0, len(index), BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _agreement(before: Mapping[str, NDArray[np.float32]], after: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
    """Return on how many alerts the twin names the same class, and the median change of its latents."""

    def change(key: str) -> float:
        off = np.linalg.norm(after[key] - before[key], axis=1) / np.linalg.norm(before[key], axis=1)
        return float(np.median(off))

    same = before["probabilities"].argmax(1) == after["probabilities"].argmax(1)
    latents = {key: change(key) for key in ("latent", "stamp_latent")}
    return {"alerts": len(same), "same_class": int(same.sum()), "median_relative_change": latents}


class _Alerts(CalibrationDataReader):  # type: ignore[misc]
    """Batches of alerts, in the form that the tool asks for."""

    def __init__(self, dataset: Dataset, index: Index) -> None:
        self._batches = self._drawn(dataset, index)

    @staticmethod
    def _drawn(dataset: Dataset, index: Index) -> Iterator[dict[str, NDArray[np.float32]]]:
        for at in range(0, len(index), BATCH):
            yield dataset.take(index[at : at + BATCH])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)


def _write_graph(source: Path, target: Path, dataset: Dataset, index: Index) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / ONNX
        model = onnx.load(source)
        _split_plainly(model.graph)
        add_pre_process_metadata(model)  # the tool would advise an optimisation that ONNX Runtime does at load
        onnx.save(model, plain)
        quantize_static(
            plain, target, _Alerts(dataset, index), quant_format=QuantFormat.QDQ, op_types_to_quantize=list(OPERATIONS),
            per_channel=True, reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
    written = onnx.load(target)
    written.graph.ClearField("value_info")
    written.ClearField("metadata_props")
    onnx.save(written, target)


def _split_plainly(graph: Any) -> None:
    """Replace, in place, each split into a sequence by a split into tensors, which is what torch meant.

    The tool infers the shapes of a graph, and takes all parts of a sequence for equally large, which they are not.
    """
    known = _constants(graph)
    parts: dict[str, dict[int, str]] = defaultdict(dict)
    for node in graph.node:
        if node.op_type == "SequenceAt":
            parts[node.input[0]][int(known[node.input[1]])] = node.output[0]
    nodes = [
        _plain_split(node, known, parts[node.output[0]]) if node.op_type == "SplitToSequence" else node
        for node in graph.node
        if node.op_type != "SequenceAt"
    ]
    used = {name for node in nodes for name in node.input}
    _replace(graph.node, [node for node in nodes if node.op_type != "Constant" or node.output[0] in used])
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in used])


def _replace(field: Any, values: list[Any]) -> None:
    del field[:]
    field.extend(values)


def _plain_split(node: Any, known: Mapping[str, NDArray[Any]], parts: Mapping[int, str]) -> Any:
    outputs = [parts[place] for place in sorted(parts)]
    axis = helper.get_node_attr_value(node, "axis")
    if known[node.input[1]].ndim:  # the size of each part
        return helper.make_node("Split", node.input[:2], outputs, name=node.name, axis=axis)
    return helper.make_node("Split", node.input[:1], outputs, name=node.name, axis=axis, num_outputs=len(outputs))


def _constants(graph: Any) -> dict[str, NDArray[Any]]:
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            value = helper.get_attribute_value(node.attribute[0])
            tensor = isinstance(value, onnx.TensorProto)
            found[node.output[0]] = numpy_helper.to_array(value) if tensor else np.asarray(value)
    return found
