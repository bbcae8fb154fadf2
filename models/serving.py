"""A model ready to run: ONNX Runtime on the CPU, torch on CUDA, behind one interface.

Nothing here imports torch until a GPU is in use, so a CPU consumer starts faster and is over 100 MB
smaller.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import DeviceError, ModelError
from fulgor.models.card import ONNX, PRECISION, SCORES, read_card, verify
from fulgor.models.device import choose
from fulgor.models.graph import Graph
from fulgor.models.layout import COLUMNS, HISTORY_INPUTS, INPUTS, OUTPUTS, STAMP_SIZE
from fulgor.models.reference import Reference
from fulgor.models.scores.suite import ScoreSuite

__all__ = ["SHIPPED", "Backend", "CardedModel", "LoadedModel", "load"]

SHIPPED = Path(__file__).parent / "shipped"
"""Folder of the models that come with the package: each stream's default bears its name."""

CHUNK = 64
"""Alerts per run on the CPU: what lies between two layers then stays in the processor's cache."""

Arrays = Mapping[str, NDArray[np.generic]]
Floats = NDArray[np.float32]

log = logging.getLogger(__name__)

_MOST = 65_536  # of steps, features and latents: a card's word, before anything is made of that size


class Backend(Protocol):
    """What runs the graph: model input to the values of :data:`fulgor.models.layout.OUTPUTS`."""

    def __call__(self, inputs: list[Floats]) -> list[Floats]:
        """Run a batch of any size; inputs in the order of the graph's arguments."""
        ...


class OnnxBackend:
    """ONNX Runtime on the CPU.

    Parameters
    ----------
    path : Path
        The graph.
    inputs : tuple of str
        Names of all that it takes.
    threads : int
        Threads inside one operation.

    Raises
    ------
    ModelError
        ONNX Runtime cannot read the file, or it is another model's graph.
    """

    def __init__(self, path: Path, inputs: tuple[str, ...], threads: int) -> None:
        self._graph = Graph(path, inputs, OUTPUTS, threads)

    def __call__(self, inputs: list[Floats]) -> list[Floats]:
        """Run in chunks."""
        count = len(inputs[0])
        if not count:  # ONNX Runtime refuses an empty batch
            return [part[:0] for part in self([np.zeros((1, *part.shape[1:]), np.float32) for part in inputs])]
        runs = [self._graph([part[at : at + CHUNK] for part in inputs]) for at in range(0, count, CHUNK)]
        return [np.concatenate(parts) for parts in zip(*runs, strict=True)]


class CardedModel:
    """What a model's card says of it, and the reference that ranks its scores.

    Parameters
    ----------
    card : dict
        The model's card.

    Attributes
    ----------
    card : dict
        Everything known about the model.
    classes, scores : tuple of str
        Names along the last axis of ``probabilities`` and ``scores``.
    reference_id : str
        Id of the reference behind ``anomaly``.
    """

    def __init__(self, card: dict[str, Any]) -> None:
        self.card = card
        self.classes: tuple[str, ...] = tuple(card["classes"])
        self.scores: tuple[str, ...] = tuple(card["scores"])
        self._reference = Reference.from_card(card["reference"])
        self.reference_id = self._reference.id

    @property
    def model_hash(self) -> str:
        """Hash of weights, preprocessing, calibration, recurrence and precision."""
        return str(self.card["model_hash"])

    @property
    def preprocessing_hash(self) -> str:
        """The preparation that the model was trained with."""
        return str(self.card["preprocessing_hash"])

    @property
    def history_shape(self) -> tuple[int, int] | None:
        """Shape (L - 1, latent) of the earlier alerts' stamp latents that `predict` takes; None where it takes none."""
        return _history_shape(self.card)

    def check_first(self, result: Mapping[str, Floats], what: str) -> None:
        """Raise ModelError where the outputs for one blank alert or chunk cannot be used."""
        if not (np.isfinite(result["latent"]).all() and result["probabilities"].shape == (1, len(self.classes))):
            raise ModelError(
                f"model {self.model_hash} gives no finite latent for a blank {what}; train or install it again"
            )


class LoadedModel(CardedModel):
    """A model that predicts; see :class:`fulgor.consumer.stream.Predictor`.

    Parameters
    ----------
    card : dict
        The model's card.
    backend : Backend
        What runs it.
    device : str
        ``cpu`` or ``cuda``.
    suite : ScoreSuite, optional
        Scores fitted to the latents, beside those of the graph.
    """

    def __init__(self, card: dict[str, Any], backend: Backend, device: str, suite: ScoreSuite | None = None) -> None:
        super().__init__(card)
        self.device = device
        self._backend = backend
        self._suite = suite
        self._shapes = _shapes(card)

    def predict(self, arrays: Arrays) -> dict[str, Floats]:
        """Run a micro-batch of any size.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            Model input, each with a leading batch axis N. A model with a `history_shape` also takes ``history``
            (N, L - 1, latent) and ``history_mask`` (N, L - 1), see :data:`fulgor.models.layout.HISTORY_INPUTS`;
            without them no history is known. Any other model ignores both.

        Returns
        -------
        dict of str to ndarray
            ``latent`` and ``stamp_latent`` (N, latent), ``probabilities`` (N, classes), ``scores``
            (N, scores) and ``anomaly`` (N,) in [0, 1]; float32, NaN where a value cannot be had.

        Raises
        ------
        ModelError
            An array is missing or of another shape than the model's.
        MemoryError
            The device has no room for this batch.
        """
        outputs = dict(zip(OUTPUTS, self._backend(self._checked(arrays)), strict=True))
        if self._suite is not None:
            outputs["scores"] = np.concatenate([outputs["scores"], self._suite(outputs["latent"])], axis=1)
        return {**outputs, "anomaly": self._reference.anomaly(outputs["scores"])}

    def _checked(self, arrays: Arrays) -> list[Floats]:
        checked: list[Floats] = []
        if not any(name in arrays for name in HISTORY_INPUTS):
            arrays = {**self._no_history(len(arrays.get(INPUTS[0], ()))), **arrays}
        for name, shape in self._shapes.items():
            if name not in arrays:
                raise ModelError(f"the model input lacks {name!r}; was it prepared for another stream?")
            array = np.ascontiguousarray(arrays[name], dtype=np.float32)
            if array.shape[1:] != shape or (checked and len(array) != len(checked[0])):
                raise ModelError(
                    f"model input {name!r} has shape {array.shape}, expected (N, {', '.join(map(str, shape))}) "
                    "with the same N throughout; was it prepared for another model?"
                )
            checked.append(array)
        return checked

    def _no_history(self, count: int) -> dict[str, Floats]:
        """Return what says that nothing is known of some alerts' histories; nothing where the model takes none."""
        shapes = {name: self._shapes[name] for name in HISTORY_INPUTS if name in self._shapes}
        return {name: np.zeros((count, *shape), dtype=np.float32) for name, shape in shapes.items()}


def load(directory: Path | str, device: str = "auto", *, threads: int = 1) -> LoadedModel:
    """Load a model, check its files, and run it once.

    Parameters
    ----------
    directory : Path or str
        The model's folder.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    threads : int
        Threads inside one operation on the CPU.

    Raises
    ------
    DeviceError
        ``cuda`` was asked for and cannot be had, or the model runs on the CPU alone.
    ModelError
        A file is missing, damaged or of another model, or its first inference fails.
    """
    directory = Path(directory)
    chosen = choose(device)
    card = read_card(directory)
    verify(directory, card)
    suite = ScoreSuite.load(directory / SCORES) if card.get("fitted_scores") else None
    if chosen == "cuda" and card["precision"] != PRECISION:
        if device == "cuda":
            raise DeviceError(f"{directory} is a model in {card['precision']}, which runs on the CPU; use --device cpu")
        chosen = "cpu"
    if chosen == "cuda":
        try:
            return _proven(LoadedModel(card, _cuda(directory, card), "cuda", suite))
        except DeviceError as error:
            if device == "cuda":
                raise
            log.warning("a GPU is present but cannot be used, running on the CPU: %s", error)
    return _proven(LoadedModel(card, OnnxBackend(directory / ONNX, tuple(_shapes(card)), threads), "cpu", suite))


def _cuda(directory: Path, card: dict[str, Any]) -> Backend:
    from fulgor.models.cuda import TorchBackend  # torch is loaded only where a GPU is in use

    return TorchBackend(directory, card, "cuda")


def _shapes(card: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each input without its batch axis, in the order of the graph's arguments."""
    steps, features = _size(card, "steps"), _size(card, "features")
    stamp = (3, STAMP_SIZE, STAMP_SIZE)
    shapes = dict(zip(INPUTS, (stamp, stamp, (steps, COLUMNS), (steps,), (features,)), strict=True))
    history = _history_shape(card)
    return shapes | dict(zip(HISTORY_INPUTS, (history, history[:1]), strict=True)) if history else shapes


def _history_shape(card: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (L - 1, latent) for a model that takes the stamp latents of earlier alerts."""
    remembers = card["recurrence"].get("history_stamps", False)
    return (_size(card, "steps") - 1, _size(card, "latent")) if remembers else None


def _size(card: Mapping[str, Any], name: str) -> int:
    try:
        size = int(card["architecture"][name])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the card's architecture cannot be read ({error!r}); export the model again") from error
    if not 1 <= size <= _MOST:
        raise ModelError(f"the card's architecture cannot be read ({name} = {size}); export the model again")
    return size


def _proven(model: LoadedModel) -> LoadedModel:
    """Run one blank alert, so that a model that cannot run fails at the start."""
    blank = {name: np.zeros((1, *shape), dtype=np.float32) for name, shape in model._shapes.items()}
    blank["masks"] += 1.0
    blank["sequence_mask"][:, -1] = 1.0
    model.check_first(model.predict(blank), "alert")
    return model
