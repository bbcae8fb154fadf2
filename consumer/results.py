"""From what a model gave to the row that says so, or to the dead letter that says why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from fulgor.consumer.lineup import Scorer
from fulgor.consumer.messages import Delivery, appended_at
from fulgor.consumer.stream import Item
from fulgor.errors import MalformedError
from fulgor.models.store import reference_id
from fulgor.storage.rows import Coordinates, DeadLetter, History, Result

__all__ = ["dead_letter", "result"]

_LARGEST_HALF = float(np.finfo(np.float16).max)


def dead_letter(at: Coordinates, stage: str, error: Exception) -> DeadLetter:
    """Return why what lies there can become no row."""
    if isinstance(error, MalformedError):
        stage = error.stage
    return DeadLetter(at, stage, type(error).__name__, str(error) or type(error).__name__)


def result(
    item: Item, at: Coordinates, delivery: Delivery, row: Mapping[str, Any] | None, scorer: Scorer,
    history: History | None = None,
) -> Result:  # fmt: skip
    """Return an item's row.

    Parameters
    ----------
    item : Item
        What was prepared.
    at : Coordinates
        Where it came from.
    delivery : Delivery
        The message.
    row : mapping of str to ndarray, or None
        What the model gave for this item alone; None where it was not asked, or had no memory for it.
    scorer : Scorer
        The model.
    history : History, optional
        What the model was given of the object's earlier alerts.
    """
    classes = scorer.predictor.classes
    vectors = {} if row is None else {k: row[k] for k in ("latent", "stamp_latent") if _is_storable(row[k])}
    probabilities = None if row is None else _floats(row["probabilities"])
    known = probabilities is not None and None not in probabilities
    scores = None if row is None else _floats(row["scores"])
    anomaly = None if row is None else _floats(row["anomaly"].reshape(1))[0]
    unscorable = item.unscorable
    if unscorable is None and ("latent" not in vectors or anomaly is None):
        unscorable = (
            "the model ran out of memory" if row is None else "the model gave no finite value that fits for this input"
        )
    return Result(
        at=at, model_id=scorer.model_id, alert=item.alert, time=item.time, time_ns=item.time_ns,
        object=item.object, content_hash=item.content_hash, columns=item.columns, flags=item.flags,
        latent=vectors.get("latent"), stamp_latent=vectors.get("stamp_latent"),
        probabilities=probabilities,
        class_name=classes[int(np.argmax(row["probabilities"]))] if known and row is not None else None,
        scores=scores, anomaly=anomaly, reference=None if anomaly is None else reference_id(scorer.predictor.card),
        unscorable=unscorable,
        appended_at=appended_at(delivery.timestamp_ms), history=history,
    )  # fmt: skip


def _is_storable(vector: np.ndarray[Any, Any]) -> bool:
    """Tell whether a latent is finite and fits half precision, in which nearest neighbours are looked for."""
    return bool(np.abs(vector).max(initial=0.0) <= _LARGEST_HALF)  # which NaN is not, either


def _floats(values: np.ndarray[Any, Any]) -> list[float | None]:
    """Return float32 values as a list, None for what is not finite: a score is NULL, never NaN."""
    return [value if isfinite(value) else None for value in values.tolist()]
