"""Prepared chunks with labels: what the LEELA models are trained on. Pure numpy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ModelError
from fulgor.models.evaluation.folds import deal
from fulgor.models.leela.layout import CLASSES, PULSES, SCALARS

__all__ = ["PARTS", "UNLABELLED", "ChunkExample", "LeelaDataset"]

UNLABELLED = -1
"""Label of a chunk whose class is not known: it trains the autoencoder only."""

PARTS = {"train": range(12), "validation": range(12, 14), "reference": range(14, 17), "test": range(17, 20)}
"""Twentieths of the flashes."""

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChunkExample:
    """One prepared chunk.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        ``windows`` (P, 2, 256) and ``scalars`` (P, 8).
    label : str or None
        Name of the class; None where it is not known.
    flash : str
        What splits never part: the flash, which several sites see; for a chunk without one, the chunk.
    """

    arrays: Mapping[str, NDArray[Any]]
    label: str | None
    flash: str


@dataclass(frozen=True, slots=True)
class LeelaDataset:
    """Chunks as arrays.

    Parameters
    ----------
    windows : ndarray
        float32 (M, 2, 256): the pulses of all chunks.
    scalars : ndarray
        float32 (N, 8, 8).
    place : ndarray
        int64 (N, 8): numbers of a chunk's pulses among the windows, -1 for none.
    labels : ndarray
        int64 (N,): index into ``classes``, or :data:`UNLABELLED`.
    flashes : ndarray
        Unicode (N,).
    classes : tuple of str
        Names of the classes.
    """

    windows: NDArray[np.float32]
    scalars: NDArray[np.float32]
    place: Index
    labels: Index
    flashes: NDArray[np.str_]
    classes: tuple[str, ...] = CLASSES

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def gather(cls, examples: Iterable[ChunkExample], classes: Sequence[str] = CLASSES) -> LeelaDataset:
        """Return the data set of some examples; a label that is no class counts as unlabelled.

        Raises
        ------
        ModelError
            There are no examples.
        """
        number = {name: index for index, name in enumerate(classes)}
        rows = [(example.arrays, number.get(example.label or "", UNLABELLED), example.flash) for example in examples]
        if not rows:
            raise ModelError("no chunk could be prepared, so there is nothing to train on; check the archive")
        scalars = np.zeros((len(rows), PULSES, SCALARS), np.float32)
        place = np.full((len(rows), PULSES), -1, np.int64)
        at = 0
        for row, (arrays, _, _) in enumerate(rows):
            count = len(arrays["scalars"])
            scalars[row, :count] = arrays["scalars"]
            place[row, :count] = np.arange(at, at + count)
            at += count
        windows = np.concatenate([arrays["windows"] for arrays, _, _ in rows]).astype(np.float32, copy=False)
        labels = np.array([label for _, label, _ in rows], np.int64)
        return cls(windows, scalars, place, labels, np.array([flash for _, _, flash in rows]), tuple(classes))

    def take(self, index: Index) -> tuple[NDArray[np.float32], NDArray[np.float32], Index]:
        """Return the graph's input for some chunks, with windows of theirs only."""
        place = self.place[index]
        present = place >= 0
        numbered = np.full(place.shape, -1, np.int64)
        numbered[present] = np.arange(int(present.sum()))
        return self.windows[place[present]], self.scalars[index], numbered

    def split(self, seed: int) -> dict[str, Index]:
        """Divide the chunks by flash into `PARTS`, with equal shares of the classes as far as that can be."""
        fold = deal(self.flashes, self.labels, count=20, seed=seed)
        return {name: np.flatnonzero(np.isin(fold, list(numbers))) for name, numbers in PARTS.items()}

    def counts(self, index: Index) -> dict[str, int]:
        """Return the chunks per class among ``index``, and those without a label."""
        labels = self.labels[index]
        found = {name: int((labels == number).sum()) for number, name in enumerate(self.classes)}
        return {**found, "unlabelled": int((labels == UNLABELLED).sum())}
