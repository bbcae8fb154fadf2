"""Which earlier alert of a data set stands behind each step of a light curve, and prediction with their stamp latents.

Live, a model of stored history finds the stamp latents of an object's earlier alerts in the database; here the data
set itself is what is stored. Pure numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fulgor.models.dataset import STEP_TIMES, Dataset
from fulgor.models.layout import DETECTION

__all__ = ["ABSENT", "earlier_alerts", "predict"]

ABSENT: Final = -1
"""What stands for a step behind which the data set has no alert."""

BATCH: Final = 256
"""Alerts per prediction."""

Index = NDArray[np.int64]


class _Served(Protocol):
    @property
    def history_shape(self) -> tuple[int, int] | None: ...

    def predict(self, arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]: ...


def earlier_alerts(dataset: Dataset) -> Index:
    """Return the row of the alert behind each step before an alert's own.

    Parameters
    ----------
    dataset : Dataset
        Of N alerts, whose sequences have L steps.

    Returns
    -------
    ndarray of int64, shape (N, L - 1)
        The alert of the same object and of exactly the step's time; :data:`ABSENT` where there is none, where the
        step is a limit, and everywhere if the data set does not know the steps' times.
    """
    times = dataset.arrays.get(STEP_TIMES)
    if times is None:
        return np.full((len(dataset), dataset.arrays["sequence"].shape[1] - 1), ABSENT)
    detected = dataset.arrays["sequence"][:, :-1, DETECTION] > 0
    own, before = np.asarray(times[:, -1]), np.where(detected, times[:, :-1], np.nan)
    moments, (_, number) = np.unique(own), np.unique(dataset.objects, return_inverse=True)

    def keys(objects: NDArray[Any], when: NDArray[np.float64]) -> Index:
        """Return a number for each pair of object and time that an alert may have; ABSENT for another time, or NaN."""
        place = np.searchsorted(moments, when).clip(max=len(moments) - 1)
        return np.where(moments[place] == when, objects * len(moments) + place, ABSENT)

    have, asked = keys(number, own), keys(number[:, None], before)
    order = np.argsort(have, kind="stable")
    found = order[np.searchsorted(have[order], asked).clip(max=len(order) - 1)]
    return np.where((asked != ABSENT) & (have[found] == asked), found, ABSENT)


def predict(model: _Served, dataset: Dataset, index: Index) -> dict[str, NDArray[np.float32]]:
    """Run a loaded model on some alerts, with what the data set holds of their objects' earlier ones.

    Parameters
    ----------
    model : LoadedModel
        Where it takes no history, this is plain prediction, batch by batch.
    dataset, index
        The alerts.

    Returns
    -------
    dict of str to ndarray
        As of :meth:`fulgor.models.serving.LoadedModel.predict`.
    """
    rows = [index[at : at + BATCH] for at in range(0, max(len(index), 1), BATCH)]
    if model.history_shape is None:
        return _gathered([model.predict(dataset.take(part)) for part in rows])
    earlier = earlier_alerts(dataset)
    needed = np.unique(earlier[index][earlier[index] != ABSENT])
    stamps = np.zeros((len(dataset), model.history_shape[1]), dtype=np.float32)
    for at in range(0, len(needed), BATCH):
        part = needed[at : at + BATCH]
        stamps[part] = model.predict(dataset.take(part))["stamp_latent"]
    found = []
    for part in rows:
        known = earlier[part] != ABSENT
        history = {"history": stamps[earlier[part]], "history_mask": known.astype(np.float32)}
        found.append(model.predict({**dataset.take(part), **history}))
    return _gathered(found)


def _gathered(parts: list[dict[str, NDArray[np.float32]]]) -> dict[str, NDArray[np.float32]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
