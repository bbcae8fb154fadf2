"""Which objects are tested together: frozen before anything is trained, scaled, searched or calibrated.

The outer folds of the public ZTF alerts that the figures in docs/ruler.md come from are kept by object
name in ``ztf_folds.json``, as are the objects of the score reference, which no training sees. They are
what :func:`deal` gave once; a name that is not in the table is dealt the same way. The inner folds of
an outer fold are the other outer folds, so that there is nothing more to freeze.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ModelError

__all__ = [
    "OUTER",
    "REFERENCE_SIZE",
    "Index",
    "Split",
    "deal",
    "draw",
    "group_splits",
    "inner_splits",
    "outer_folds",
    "reference_objects",
    "splits",
]

OUTER: Final = 5
"""Number of outer folds."""

REFERENCE_SIZE: Final = 150
"""Objects of the score reference."""

SEED: Final = 20251122
"""Of the frozen folds and of the reference."""

_TABLE = Path(__file__).with_name("ztf_folds.json")

Index = NDArray[np.int64]
Names = Sequence[str] | NDArray[np.str_]


class Split(NamedTuple):
    """One division of the alerts.

    Parameters
    ----------
    fold : int
        The fold that is left out.
    train, test : ndarray
        int64: indices of alerts, ascending. No object is in both.
    """

    fold: int
    train: Index
    test: Index


def deal(objects: Names, labels: Index, *, count: int = OUTER, seed: int = SEED) -> Index:
    """Deal objects into folds, class by class, in an order that only names and seed decide.

    Parameters
    ----------
    objects : sequence of str
        (N,): the object of each alert.
    labels : ndarray
        int64 (N,): the class of each alert, negative where it is not known. An object has the largest
        label among its alerts.
    count, seed : int
        Number of folds; another seed is another deal.

    Returns
    -------
    ndarray
        int64 (N,): fold of each alert. Alerts of one object are in one fold; of each class, the folds'
        numbers of objects differ by one at most.
    """
    stratum: dict[str, int] = {}
    for name, label in zip(map(str, objects), labels.tolist(), strict=True):
        stratum[name] = max(label, stratum.get(name, label))
    # One deal through all classes: the rest of one class is made up for by the next.
    order = sorted(stratum, key=lambda name: (stratum[name], _shuffle(name, seed)))
    fold = {name: place % count for place, name in enumerate(order)}
    return np.array([fold[str(name)] for name in objects], dtype=np.int64)


def draw(objects: Names, size: int = REFERENCE_SIZE, *, seed: int = SEED) -> list[str]:
    """Return ``size`` of the objects, drawn by the seed, sorted; ModelError where there are fewer."""
    names = sorted({str(name) for name in objects}, key=lambda name: _shuffle(name, seed))
    if len(names) < size:
        raise ModelError(f"{size} objects are to be drawn, but there are only {len(names)}; give more alerts")
    return sorted(names[:size])


def outer_folds(objects: Names, labels: Index) -> Index:
    """Return the outer fold of each alert, int64 (N,): the frozen one where its object has one.

    Parameters
    ----------
    objects, labels
        As for :func:`deal`, which gives the folds of objects that the frozen table does not name.
    """
    names = np.asarray(objects, dtype=str)
    frozen = _table()["fold"]
    folds = np.array([frozen.get(name, -1) for name in names.tolist()], dtype=np.int64)
    if len(new := np.flatnonzero(folds < 0)):
        folds[new] = deal(names[new], labels[new])
    return folds


def reference_objects() -> frozenset[str]:
    """Return the objects of the score reference: no training, search or calibration may see them."""
    return frozenset(_table()["reference"])


def splits(folds: Index) -> Iterator[Split]:
    """Yield the division that leaves out each fold in turn; a negative fold is in neither part."""
    for fold in sorted(set(folds[folds >= 0].tolist())):
        yield Split(fold, np.flatnonzero((folds >= 0) & (folds != fold)), np.flatnonzero(folds == fold))


def inner_splits(folds: Index, fold: int) -> Iterator[Split]:
    """Yield the divisions of the alerts outside of an outer fold: for search, early stopping, calibration."""
    return splits(np.where(folds == fold, -1, folds))


def group_splits(groups: Names, objects: Names, tested: NDArray[np.bool_]) -> Iterator[Split]:
    """Yield the division that leaves out each group (a night, an origin) in turn.

    Parameters
    ----------
    groups, objects : sequence of str
        (N,): group and object of each alert.
    tested : ndarray
        bool (N,): alerts to test. The objects of those in a group are left out of its training
        altogether, also their alerts in other groups.
    """
    names, parts = np.asarray(objects, dtype=str), np.asarray(groups, dtype=str)
    for number, group in enumerate(sorted(set(parts[tested].tolist()))):
        test = np.flatnonzero((parts == group) & tested)
        held = (parts == group) | np.isin(names, names[test])
        yield Split(number, np.flatnonzero(~held), test)


def _shuffle(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


@cache
def _table() -> dict[str, Any]:
    """Return ``fold``, the fold by object, and ``reference``."""
    table = json.loads(_TABLE.read_text(encoding="utf-8"))
    fold = {name: number for number, names in enumerate(table["folds"]) for name in names}
    return {"fold": fold, "reference": table["reference"]}
