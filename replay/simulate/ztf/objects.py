"""The object that alerts come from: place, surroundings, light curve, visits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.replay.simulate.ztf.cadence import Visits
from fulgor.replay.simulate.ztf.lightcurves import Curve
from fulgor.replay.simulate.ztf.sky import Place, Scene

__all__ = ["CLASSES", "FAINTEST_ERROR", "HISTORY_DAYS", "SkyObject"]

CLASSES = ("AGN", "SN", "VS", "asteroid", "bogus")
HISTORY_DAYS = 30.0
FAINTEST_ERROR = 0.217  # magnitudes: a signal of five sigma


@dataclass(frozen=True, slots=True)
class SkyObject:
    """One object and everything that the survey saw of it.

    Parameters
    ----------
    key : tuple of int
        Seeds of its own chance.
    label : str
        One of :data:`CLASSES`.
    place, scene : Place, Scene
        Where it is and what surrounds it, its own quiet light included.
    curve : Curve
        Its change of flux at each visit.
    visits : Visits
        The exposures, from 30 days before the first alert on.
    emitted : ndarray of int
        Visits that send an alert.
    detected : ndarray of bool (n,)
        Visits in which it is found.
    past_detections, past_visits : int
        Counts of before the first visit.
    first_seen : float
        Julian date of its first detection ever, where it has past detections.
    template_fwhm, template_noise : tuple of float
        Width (pixels) and noise (counts at zero point 26.2) of the template in g and r.
    template_light : tuple of float
        Flux in g and r that a transient left in the template, which no catalogue lists.
    trail_length, trail_angle : float
        Motion during an exposure: pixels, radians.
    artefact : str
        What made a bogus alert; empty otherwise.
    artefact_magnitude : float
        How bright that is at the visit's zero point.
    predicted : bool
        Whether a moving object is in the catalogue of known ones.
    rows : dict
        Rows of visits that some alert told of already: later histories repeat them.
    """

    key: tuple[int, ...]
    label: str
    place: Place
    scene: Scene
    curve: Curve
    visits: Visits
    emitted: NDArray[np.int64]
    detected: NDArray[np.bool_]
    past_detections: int
    past_visits: int
    first_seen: float
    template_fwhm: tuple[float, float]
    template_noise: tuple[float, float]
    template_light: tuple[float, float] = (0.0, 0.0)
    trail_length: float = 0.0
    trail_angle: float = 0.0
    artefact: str = ""
    artefact_magnitude: float = 99.0
    predicted: bool = False
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
