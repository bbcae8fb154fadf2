"""How labelled alerts are divided for retraining: always by object, and by time where coming nights are spoken of.

Objects are divided by the hash of their names with the seed on the live model's card, so that the same ones are held
out in every generation. A comparison that is to hold for coming nights looks at later nights than any alert that was
trained on besides: neither an object nor a night is on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np

from fulgor.errors import ModelError
from fulgor.models.batches import Index
from fulgor.models.card import used_objects
from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.training import PARTS

__all__ = ["FEWEST", "LATER", "Division", "divide"]

FEWEST: Final = 20
"""Labelled held-out alerts below which a comparison would say nothing."""

LATER: Final = 0.3
"""Share of the alerts that the later nights hold, at least where one night does not hold more."""

BY_OBJECT: Final = "object"
BY_TIME: Final = "object and time"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC).date()


@dataclass(frozen=True, slots=True)
class Division:
    """Which alerts are trained on, and which are compared on.

    Parameters
    ----------
    parts : dict of str to ndarray
        Indices of ``train``, ``validation``, ``reference`` and ``test``.
    seed : int
        Of the division by object.
    tested_from : date, optional
        First UTC day of the test part; the other parts end before it. None where objects alone divide them.
    """

    parts: dict[str, Index]
    seed: int
    tested_from: date | None

    def entry(self, dataset: Dataset) -> dict[str, Any]:
        """Return what the card says of it."""
        counts = {name: dataset.counts(index) for name, index in self.parts.items()}
        entry = {"by": BY_OBJECT, "seed": self.seed, "parts": counts}
        return entry if self.tested_from is None else entry | {"by": BY_TIME, "tested_from": str(self.tested_from)}

    def __str__(self) -> str:
        if self.tested_from is None:
            return "divided by object, not by time: it says nothing of coming nights"
        return f"divided by object and by time: trained before {self.tested_from}, compared on the nights from then on"


def divide(dataset: Dataset, card: Mapping[str, Any], days: Index | None = None) -> Division:
    """Divide alerts into the parts of a training, by object as the model of this card did.

    Parameters
    ----------
    dataset : Dataset
        Prepared alerts.
    card : mapping
        Of the model to start from: its ``split`` says the seed; objects that its ``data.used`` lists (a model
        of listed alerts) are moved to the training part.
    days : ndarray, optional
        int64 (N,): UTC day of each alert, counted from 1970. The test part then is of later days than the others,
        and not of days that the card's model was trained on, where its card says until when that was.

    Raises
    ------
    ModelError
        The card does not say how its objects were divided, all alerts are of one day, or too few are left to
        compare on.
    """
    split, used = card.get("split", {}), used_objects(card)
    if split.get("by") not in {BY_OBJECT, BY_TIME} or not isinstance(split.get("seed"), int):
        raise ModelError(
            f"the card of model {card.get('name')!r} does not say how its objects were divided: train anew"
        )
    parts = dataset.split(PARTS, split["seed"])
    seen = np.isin(dataset.objects, sorted(used))
    fresh = {name: index[~seen[index]] for name, index in parts.items()}
    fresh["train"] = np.sort(np.concatenate([fresh["train"], np.flatnonzero(seen)]))
    first = None
    if days is not None:
        first = max(_later(days), _tested_from(split))
        later = days >= first
        fresh = {name: index[later[index] == (name == "test")] for name, index in fresh.items()}
    _require(dataset, fresh, card, by_time=days is not None)
    return Division(fresh, split["seed"], None if first is None else _EPOCH + timedelta(days=first))


def _later(days: Index) -> int:
    """Return the first day of the test part: a night is never parted."""
    first = np.sort(days)[int((1 - LATER) * len(days))]
    later = np.unique(days[days >= max(first, days.min() + 1)])
    if not len(later):
        raise ModelError(
            "all alerts are of one UTC day, which says nothing of coming nights: take more nights,"
            " or divide by object alone (--split object)"
        )
    return int(later[0])


def _tested_from(split: Mapping[str, Any]) -> int:
    """Return the day before which the model of before was trained; 0 where its card does not tell."""
    try:
        return (date.fromisoformat(split["tested_from"]) - _EPOCH).days if "tested_from" in split else 0
    except (TypeError, ValueError) as error:
        raise ModelError(f"the card's split.tested_from is no date: {split['tested_from']!r}") from error


def _require(dataset: Dataset, parts: Mapping[str, Index], card: Mapping[str, Any], *, by_time: bool) -> None:
    for name, index in parts.items():
        count = int((dataset.labels[index] != UNLABELLED).sum())
        fewest = FEWEST if name in {"test", "reference"} else 1
        if count < fewest:
            advice = "take more or newer alerts" + (", or divide by object alone (--split object)" * by_time)
            raise ModelError(
                f"{count} labelled alerts of objects that model {card.get('name')!r} has not seen are left for"
                f" {name!r}, which needs {fewest}: {advice}"
            )
