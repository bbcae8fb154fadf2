"""A micro-batch through a model: with its items' past where the model takes one, in halves where memory is short."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from fulgor.consumer.history import Past
from fulgor.consumer.stream import Item, Predictor

__all__ = ["predict"]

log = logging.getLogger(__name__)


def predict(
    predictor: Predictor, items: Sequence[Item], pasts: Sequence[Past] | None = None
) -> list[dict[str, Any] | None]:
    """Run a model; a batch that it has no memory for is halved, down to an item that gets no score.

    Parameters
    ----------
    predictor : Predictor
        The model.
    items : sequence of Item
        The batch; their arrays have equal shapes.
    pasts : sequence of Past, optional
        What is stored of their objects' earlier items, for a model that takes it.

    Returns
    -------
    list of dict or None
        What it gave for each item, without the batch axis; None for one that it has no memory for.
    """
    try:
        output = predictor.predict(_stacked(items, pasts))
    except MemoryError as error:
        if len(items) == 1:
            log.error("alert %s: the model has no memory for it: %s", items[0].alert, error)
            return [None]
        log.warning("the model has no memory for %d items at once; trying them in halves: %s", len(items), error)
        middle = len(items) // 2
        first, second = (None, None) if pasts is None else (pasts[:middle], pasts[middle:])
        return predict(predictor, items[:middle], first) + predict(predictor, items[middle:], second)
    return [{name: values[index] for name, values in output.items()} for index in range(len(items))]


def _stacked(items: Sequence[Item], pasts: Sequence[Past] | None) -> dict[str, np.ndarray[Any, Any]]:
    arrays = {name: np.stack([item.arrays[name] for item in items]) for name in items[0].arrays}
    if pasts is not None:
        arrays |= {name: np.stack([past.arrays[name] for past in pasts]) for name in pasts[0].arrays}
    return arrays
