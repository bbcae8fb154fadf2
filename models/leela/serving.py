"""The LEELA model ready to run, on the CPU with ONNX Runtime: no torch.

The items of a chunk all carry the chunk's pulses, and ask for one of them or, as the chunk itself,
for the strangest; a chunk's graph is run once however many of its items are in the batch, and together
with chunks of other numbers of pulses.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ModelError
from fulgor.models.card import ONNX, read_card, verify
from fulgor.models.device import choose
from fulgor.models.graph import Graph
from fulgor.models.leela.layout import INPUTS, OUTPUTS, PULSES, SCALARS, WINDOW
from fulgor.models.serving import CardedModel

__all__ = ["LeelaModel", "load"]

Arrays = Mapping[str, NDArray[np.generic]]
Floats = NDArray[np.float32]

CHUNKS = 64
"""Chunks per run: what lies between two layers then stays in the processor's cache."""

WHOLE = 0
"""What ``pulse`` holds for the row of a chunk itself."""

log = logging.getLogger(__name__)


class LeelaModel(CardedModel):
    """A model that predicts; see :class:`fulgor.consumer.stream.Predictor`.

    Parameters
    ----------
    card : dict
        The model's card.
    path : Path
        The graph.
    threads : int
        Threads inside one operation.

    Raises
    ------
    ModelError
        ONNX Runtime cannot read the file, or it is another model's graph.
    """

    device = "cpu"

    def __init__(self, card: dict[str, Any], path: Path, threads: int) -> None:
        super().__init__(card)
        self._graph = Graph(path, INPUTS, OUTPUTS, threads)

    def predict(self, arrays: Arrays) -> dict[str, Floats]:
        """Run a micro-batch of any size.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            With a leading batch axis N: ``windows`` (N, P, 2, 256) and ``scalars`` (N, P, 8), those behind a
            chunk's last pulse all zero; ``pulse`` (N,) from 1, or 0 for a chunk as a whole; and ``chunk`` (N, 2),
            the same for items of one chunk.

        Returns
        -------
        dict of str to ndarray
            ``latent`` and ``stamp_latent`` (of the pulse alone) (N, 64), ``probabilities`` (N, classes),
            ``scores`` (N, scores) and ``anomaly`` (N,) in [0, 1]; float32.

        Raises
        ------
        ModelError
            An array is missing or of another shape than the model's, or the card names other scores than the graph.
        MemoryError
            There is no room for this batch.
        """
        windows, scalars = _checked(arrays)
        _, first, chunk = np.unique(
            np.asarray(arrays["chunk"]).reshape(len(windows), -1), axis=0, return_index=True, return_inverse=True
        )
        windows, scalars = windows[first], scalars[first]
        present = _present(windows)
        found = self._pulses(windows, scalars, present)
        if found["scores"].shape[-1] != len(self.scores):
            raise ModelError(
                f"model {self.model_hash} gives {found['scores'].shape[-1]} scores, its card names {len(self.scores)};"
                " train or install it again"
            )
        anomaly = self._reference.anomaly(found["scores"].reshape(-1, len(self.scores))).reshape(len(first), -1)
        anomaly = np.where(present, anomaly, np.float32(-1.0))
        chunk = chunk.reshape(-1)
        pulse = np.asarray(arrays["pulse"]).reshape(-1).astype(np.intp)
        chosen = np.where(pulse == WHOLE, np.argmax(anomaly, axis=1)[chunk], pulse - 1)
        rows = {name: values[chunk, chosen] for name, values in found.items()}
        return {
            "latent": rows["latent"],
            "stamp_latent": rows["pulse_latent"],
            "probabilities": rows["probabilities"],
            "scores": rows["scores"],
            "anomaly": anomaly[chunk, chosen],
        }

    def _pulses(self, windows: Floats, scalars: Floats, present: NDArray[np.bool_]) -> dict[str, Floats]:
        """Return the outputs of all pulses, (chunks, P, ...)."""
        runs = [
            self._run(windows[at : at + CHUNKS], scalars[at : at + CHUNKS], present[at : at + CHUNKS])
            for at in range(0, len(windows), CHUNKS)
        ]
        return {name: np.concatenate(parts) for name, parts in zip(OUTPUTS, zip(*runs, strict=True), strict=True)}

    def _run(self, windows: Floats, scalars: Floats, present: NDArray[np.bool_]) -> list[Floats]:
        count, pulses = present.shape
        padded = np.zeros((count, PULSES, SCALARS), np.float32)
        padded[:, :pulses] = scalars
        place = np.full((count, PULSES), -1, np.int64)
        place[:, :pulses][present] = np.arange(np.count_nonzero(present))
        outputs = self._graph((windows[present], padded, place))
        return [part[:, :pulses] for part in outputs]


def _present(windows: Floats) -> NDArray[np.bool_]:
    """Tell which windows (chunks, P, 2, 256) hold a pulse: its peak lies within its chunk. The first always does."""
    present = windows[:, :, 1, WINDOW // 2] > 0
    present[:, 0] = True
    return present


def _checked(arrays: Arrays) -> tuple[Floats, Floats]:
    missing = [name for name in ("windows", "scalars", "pulse", "chunk") if name not in arrays]
    if missing:
        raise ModelError(f"the model input lacks {', '.join(missing)}; was it prepared for another stream?")
    windows = np.ascontiguousarray(arrays["windows"], np.float32)
    scalars = np.ascontiguousarray(arrays["scalars"], np.float32)
    pulses = windows.shape[1] if windows.ndim == 4 else 0
    if not 1 <= pulses <= PULSES or windows.shape[2:] != (2, WINDOW) or scalars.shape != (
        len(windows), pulses, SCALARS,
    ):  # fmt: skip
        raise ModelError(
            f"model input has shapes {windows.shape} and {scalars.shape}, expected (N, P, 2, {WINDOW}) and"
            f" (N, P, {SCALARS}) with 1 to {PULSES} pulses; was it prepared for another model?"
        )
    return windows, scalars


def load(directory: Path | str, device: str = "auto", *, threads: int = 1) -> LeelaModel:
    """Load a model, check its files, and run it once.

    Parameters
    ----------
    directory : Path or str
        The model's folder.
    device : str
        ``auto``, ``cpu`` or ``cuda``; the graph is small and always runs on the CPU.
    threads : int
        Threads inside one operation.

    Raises
    ------
    DeviceError
        ``cuda`` was asked for and cannot be had.
    ModelError
        A file is missing, damaged or of another model, or its first inference fails.
    """
    directory = Path(directory)
    if choose(device) == "cuda":
        log.info("the LEELA model is small: it runs on the CPU though a GPU is here")
    card = read_card(directory)
    verify(directory, card)
    if card["stream"] != "leela":
        raise ModelError(f"{directory} holds a model of stream {card['stream']!r}, not of leela")
    model = LeelaModel(card, directory / ONNX, threads)
    blank: Arrays = {
        "windows": np.zeros((1, 1, 2, WINDOW), np.float32), "scalars": np.zeros((1, 1, SCALARS), np.float32),
        "pulse": np.zeros(1, np.int64), "chunk": np.zeros((1, 2), np.int64),
    }  # fmt: skip
    model.check_first(model.predict(blank), "chunk")
    return model
