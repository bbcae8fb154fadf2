"""Prepared arrays with labels: what a model is trained on and evaluated with. Pure numpy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ModelError
from fulgor.models.layout import INPUTS

__all__ = ["STEP_TIMES", "UNLABELLED", "Dataset", "Example"]

UNLABELLED = -1
"""Label of an alert whose class is not known: it trains the autoencoder only."""

STEP_TIMES = "step_times"
"""Array that a data set may have beside the model input: float64 (N, L), the time of each step of the sequence, the
alert's own last, NaN where a step is unused or the alert cannot be looked back on. It links the alerts of an object."""

COMPACT = ("masks", "sequence_mask")
"""Inputs of zeros and ones, kept as bool: a quarter of the memory of float32."""


@dataclass(frozen=True, slots=True)
class Example:
    """One prepared alert.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Model input without a batch axis, and the times of its steps where they are known.
    label : str or None
        Name of the class; None where it is not known.
    object_id : str
        The object that the alert belongs to: splits never part it.
    """

    arrays: Mapping[str, NDArray[Any]]
    label: str | None
    object_id: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Alerts as arrays, in memory or memory-mapped.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Model input with a leading axis N, and :data:`STEP_TIMES` where they are known.
    labels : ndarray
        int64 (N,): index into ``classes``, or :data:`UNLABELLED`.
    objects : ndarray
        Unicode (N,): object ids.
    classes : tuple of str
        Names of the classes.
    """

    arrays: dict[str, NDArray[Any]]
    labels: NDArray[np.int64]
    objects: NDArray[np.str_]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        missing = [name for name in INPUTS if name not in self.arrays]
        if missing:
            raise ModelError(f"the data set lacks the arrays {', '.join(missing)}; prepare it again")
        lengths = {len(self.labels), len(self.objects), *(len(self.arrays[name]) for name in INPUTS)}
        if len(lengths) != 1:
            raise ModelError(f"the arrays of the data set differ in length: {sorted(lengths)}; prepare it again")

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def gather(cls, examples: Iterable[Example], classes: Sequence[str]) -> Dataset:
        """Return the data set of some examples; a label that is no class counts as unlabelled.

        Raises
        ------
        ModelError
            There are no examples.
        """
        number = {name: index for index, name in enumerate(classes)}
        columns: dict[str, list[NDArray[Any]]] = {name: [] for name in (*INPUTS, STEP_TIMES)}
        labels: list[int] = []
        objects: list[str] = []
        for example in examples:
            for name, column in columns.items():
                if name in INPUTS or name in example.arrays:
                    column.append(np.asarray(example.arrays[name], dtype=_kind(name)))
            labels.append(number.get(example.label or "", UNLABELLED))
            objects.append(example.object_id)
        if not labels:
            raise ModelError("no alert could be prepared, so there is nothing to train on; check the archive")
        arrays = {name: np.stack(column) for name, column in columns.items() if len(column) == len(labels)}
        return cls(arrays, np.array(labels, dtype=np.int64), np.array(objects), tuple(classes))

    def take(self, index: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """Return the model input of some alerts, float32 with a leading axis."""
        return {name: np.asarray(self.arrays[name][index], dtype=np.float32) for name in INPUTS}

    def split(self, parts: Mapping[str, float], seed: int) -> dict[str, NDArray[np.int64]]:
        """Divide the alerts by object, whatever their order.

        Parameters
        ----------
        parts : mapping of str to float
            Names and fractions, which sum to 1.
        seed : int
            Another seed is another division.

        Returns
        -------
        dict of str to ndarray
            Indices of each part, ascending. An object's alerts are all in the same part.
        """
        bounds = np.cumsum(list(parts.values()))[:-1]
        position = {name: _uniform(name, seed) for name in np.unique(self.objects).tolist()}
        where = np.digitize([position[name] for name in self.objects.tolist()], bounds)
        return {name: np.flatnonzero(where == number) for number, name in enumerate(parts)}

    def counts(self, index: NDArray[np.int64]) -> dict[str, int]:
        """Return the alerts per class among ``index``, and those without a label."""
        labels = self.labels[index]
        found = {name: int((labels == number).sum()) for number, name in enumerate(self.classes)}
        return {**found, "unlabelled": int((labels == UNLABELLED).sum())}

    def fingerprint(self) -> str:
        """Return 16 hex digits over objects, labels and features: enough to tell one training set from another."""
        digest = hashlib.blake2b(digest_size=8)
        for array in (self.labels, self.arrays["features"]):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update("\n".join(self.objects.tolist()).encode())
        return digest.hexdigest()

    def part(self, index: NDArray[np.int64]) -> Dataset:
        """Return some of the alerts."""
        arrays = {name: np.asarray(array[index]) for name, array in self.arrays.items()}
        return Dataset(arrays, self.labels[index], self.objects[index], self.classes)

    def joined(self, other: Dataset) -> Dataset:
        """Return the alerts of both, with what both have arrays of; ModelError where the classes differ."""
        if self.classes != other.classes:
            raise ModelError(f"data sets of {self.classes} and {other.classes} cannot be joined")
        return Dataset(
            {
                name: np.concatenate([array, other.arrays[name]])
                for name, array in self.arrays.items()
                if name in other.arrays
            },
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.objects, other.objects]),
            self.classes,
        )

    def save(self, folder: Path) -> None:
        """Write one ``.npy`` per array, which :meth:`open` maps into memory."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in self.arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
        np.save(folder / "labels.npy", self.labels, allow_pickle=False)
        np.save(folder / "objects.npy", self.objects, allow_pickle=False)
        np.save(folder / "classes.npy", np.array(self.classes), allow_pickle=False)

    @classmethod
    def open(cls, folder: Path) -> Dataset:
        """Return a saved data set; the arrays stay on disk until they are read.

        Raises
        ------
        ModelError
            A file is missing or damaged.
        """
        names = (*INPUTS, STEP_TIMES) if (folder / f"{STEP_TIMES}.npy").exists() else INPUTS
        arrays = {name: _mapped(folder / f"{name}.npy") for name in names}
        labels, objects, classes = (_mapped(folder / f"{name}.npy") for name in ("labels", "objects", "classes"))
        return cls(arrays, np.asarray(labels), np.asarray(objects), tuple(classes.tolist()))


def _kind(name: str) -> type:
    """Return the type that an array is kept as."""
    if name == STEP_TIMES:
        return np.float64
    return bool if name in COMPACT else np.float32


def _uniform(name: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on the name and the seed alone."""
    digest = hashlib.blake2b(name.encode(), digest_size=8, salt=seed.to_bytes(8, "little", signed=True)).digest()
    return int.from_bytes(digest, "little") / 2**64


def _mapped(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); prepare the data set again") from error
    return array
