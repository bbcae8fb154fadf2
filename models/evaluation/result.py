"""What a measurement leaves behind: the probabilities of every alert, from which any figure can be had later."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ModelError
from fulgor.models.evaluation.bootstrap import Bootstrap, Interval, Statistic
from fulgor.models.evaluation.folds import Index

__all__ = ["Evaluation", "paired", "slug"]

_ARRAYS = ("ids", "objects", "labels", "folds", "probabilities")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Probabilities of labelled alerts, each by a model that did not see its object.

    Parameters
    ----------
    name : str
        The method.
    classes : tuple of str
        Names along the last axis of ``probabilities``.
    ids, objects : ndarray
        Unicode (N,): candid and object of each alert.
    labels, folds : ndarray
        int64 (N,): true class and test fold.
    probabilities : ndarray
        float64 (N, classes).
    about : dict
        Whatever else belongs to the run, as JSON values.

    Raises
    ------
    ModelError
        Lengths differ, a probability is not finite, or a label is none of the classes.
    """

    name: str
    classes: tuple[str, ...]
    ids: NDArray[np.str_]
    objects: NDArray[np.str_]
    labels: Index
    folds: Index
    probabilities: NDArray[np.float64]
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.ids)
        if any(len(getattr(self, name)) != count for name in _ARRAYS):
            raise ModelError(f"the arrays of evaluation {self.name!r} differ in length; measure again")
        if self.probabilities.shape != (count, len(self.classes)) or not np.isfinite(self.probabilities).all():
            raise ModelError(
                f"{self.name!r} gave probabilities of shape {self.probabilities.shape} for {count} alerts and "
                f"{len(self.classes)} classes, or some that are not finite"
            )
        if count and not np.isin(self.labels, range(len(self.classes))).all():
            raise ModelError(f"evaluation {self.name!r} holds labels that are none of its classes; measure again")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def predicted(self) -> Index:
        """Likeliest class of each alert, int64 (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    def bootstrap(self) -> Bootstrap:
        """Return the resamples of these objects; the same alerts in the same order always give the same."""
        return Bootstrap(self.objects)

    def figure(self, statistic: Statistic) -> Interval:
        """Return a figure with its interval over objects."""
        return self.bootstrap().interval(statistic, self.labels, self.probabilities)

    def part(self, ids: NDArray[np.str_]) -> Evaluation:
        """Return the evaluation of some alerts, in the order of their ids.

        Raises
        ------
        ModelError
            One was not evaluated.
        """
        place = {name: number for number, name in enumerate(self.ids.tolist())}
        missing = [name for name in ids.tolist() if name not in place]
        if missing:
            raise ModelError(f"{self.name!r} was not measured on alert {missing[0]} and {len(missing) - 1} others")
        index = np.array([place[name] for name in ids.tolist()], dtype=np.int64)
        return Evaluation(
            self.name, self.classes, **{name: getattr(self, name)[index] for name in _ARRAYS}, about=self.about
        )

    def as_classes(self, classes: Sequence[str]) -> Evaluation:
        """Return the evaluation as if the method told other classes apart, by the probabilities that it gave.

        Parameters
        ----------
        classes : sequence of str
            Some of the classes, to which the probabilities are scaled: alerts of the others are left out. One
            name that is no class stands for all classes that are not named, as real does in (real, bogus).

        Raises
        ------
        ModelError
            There are several such names.
        """
        unknown = [name for name in classes if name not in self.classes]
        if len(unknown) > 1:
            raise ModelError(f"{self.name!r} tells {self.classes} apart, which cannot be divided into {tuple(classes)}")
        place = {name: number for number, name in enumerate(classes)}
        column = np.array([place.get(name, place[unknown[0]] if unknown else -1) for name in self.classes])
        kept = column[self.labels] >= 0
        told = np.zeros((int(kept.sum()), len(classes)))
        for number in range(len(classes)):
            told[:, number] = self.probabilities[kept][:, column == number].sum(axis=1)
        arrays = {name: getattr(self, name)[kept] for name in ("ids", "objects", "folds")}
        told = np.maximum(told, np.finfo(float).tiny)  # an alert that was told to be of no such class at all
        return Evaluation(
            self.name, tuple(classes), **arrays, labels=column[self.labels[kept]],
            probabilities=told / told.sum(axis=1, keepdims=True), about=self.about,
        )  # fmt: skip

    def save(self, folder: Path) -> Path:
        """Write ``NAME.npz`` and, beside it, ``NAME.json`` with the rest; return the former."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{slug(self.name)}.npz"
        np.savez_compressed(path, **{name: getattr(self, name) for name in _ARRAYS})
        head = {"name": self.name, "classes": list(self.classes), "about": self.about}
        path.with_suffix(".json").write_text(json.dumps(head, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        """Return a saved evaluation, by the path of its ``.npz``.

        Raises
        ------
        ModelError
            A file is missing or damaged.
        """
        try:
            head = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            # Opened here: numpy leaves a damaged archive open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                parts = {name: arrays[name] for name in _ARRAYS}
            return cls(head["name"], tuple(head["classes"]), **parts, about=head["about"])
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise ModelError(f"{path} is no saved evaluation ({error}); measure again") from error


def paired(statistic: Statistic, ours: Evaluation, theirs: Evaluation) -> Interval:
    """Return how much larger a figure is for ``ours``, over the alerts and resamples of ``ours``.

    Raises
    ------
    ModelError
        ``theirs`` was not measured on all of these alerts, or with other classes or labels.
    """
    other = theirs.part(ours.ids)
    if other.classes != ours.classes or (other.labels != ours.labels).any():
        raise ModelError(f"{ours.name!r} and {theirs.name!r} have other classes or labels; measure both again")
    return ours.bootstrap().difference(statistic, ours.labels, ours.probabilities, other.probabilities)


def slug(name: str) -> str:
    """Return the name of an evaluation as that of its files."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
