"""A model that was trained elsewhere, measured like any other method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ModelError
from fulgor.models.card import used_objects
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import Index
from fulgor.models.lookback import predict

__all__ = ["FixedModel", "Served"]


class Served(Protocol):
    """What a loaded model offers, see :class:`fulgor.models.serving.LoadedModel`."""

    classes: tuple[str, ...]

    @property
    def card(self) -> dict[str, Any]:
        """Everything known about the model."""
        ...

    @property
    def history_shape(self) -> tuple[int, int] | None:
        """Shape of the earlier alerts' stamp latents that it takes; None where it takes none."""
        ...

    def predict(self, arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
        """Return ``probabilities`` and more of a batch."""
        ...


class FixedModel:
    """A model that was trained elsewhere, as a predictor.

    Parameters
    ----------
    served : Served
        The loaded model.
    """

    def __init__(self, served: Served) -> None:
        self._served = served

    def unseen(self, alerts: AlertSet) -> Index:
        """Return the labelled alerts, int64 indices, of objects that the card does not say it was trained on."""
        known = np.isin(alerts.objects, sorted(used_objects(self._served.card)))
        return np.setdiff1d(alerts.labelled, np.flatnonzero(known))

    def predict_proba(self, alerts: AlertSet, index: Index) -> NDArray[np.float64]:
        """Return the class probabilities (n, classes) of some alerts; a model of stored history looks back on all.

        Raises
        ------
        ModelError
            The model has other classes than the alerts.
        """
        if self._served.classes != alerts.dataset.classes:
            ours, theirs = ", ".join(self._served.classes), ", ".join(alerts.dataset.classes)
            raise ModelError(f"the model tells {ours} apart, the labels {theirs}; give labels of the model's classes")
        return predict(self._served, alerts.dataset, index)["probabilities"].astype(np.float64)
