"""One alert to the arrays that a model takes: the same function live and in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.preprocessing.ztf.alert import ZtfAlert
from fulgor.preprocessing.ztf.features import features
from fulgor.preprocessing.ztf.flags import ZtfFlag
from fulgor.preprocessing.ztf.lightcurve import light_curve
from fulgor.preprocessing.ztf.recipe import DEFAULT, Recipe
from fulgor.preprocessing.ztf.stamps import DIFFERENCE, NAMES, SCIENCE, prepare_stamps

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Model input of one alert.

    Parameters
    ----------
    arrays : dict of str to ndarray of float32
        ``stamps`` and ``masks`` (3, size, size): science, template, difference;
        ``sequence`` (L, 8) and ``sequence_mask`` (L,); ``features`` (F,).
    flags : ZtfFlag
        What is odd about the alert.
    unscorable : str or None
        Why no score can be had: the science or the difference stamp is unusable. None when it can.
    times : ndarray of float64
        (L,): the Julian date of each step of the sequence, NaN for an unused one; the last is the alert's own.
    """

    arrays: dict[str, NDArray[Any]]
    flags: ZtfFlag
    unscorable: str | None
    times: NDArray[np.float64]


def prepare(alert: ZtfAlert, recipe: Recipe = DEFAULT) -> Prepared:
    """Return the model input of an alert.

    Parameters
    ----------
    alert : ZtfAlert
        The decoded alert.
    recipe : Recipe
        The parameters; `Recipe.content_hash` names them on every model and result.

    Returns
    -------
    Prepared
        Arrays without a batch axis, with finite values only, whatever is odd about the alert.
    """
    stamps = prepare_stamps(alert, recipe)
    curve = light_curve(alert, recipe.sequence_length)
    problems = [
        f"the {NAMES[channel]} stamp {stamps.problems[channel]}"
        for channel in (SCIENCE, DIFFERENCE)
        if stamps.problems[channel]
    ]
    arrays = {
        "stamps": stamps.stamps,
        "masks": stamps.masks,
        "sequence": curve.sequence,
        "sequence_mask": curve.mask,
        "features": features(alert, stamps.levels),
    }
    return Prepared(arrays, stamps.flags | curve.flags, "; ".join(problems) or None, curve.times)
