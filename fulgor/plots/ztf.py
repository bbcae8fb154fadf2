"""ZTF alerts as what the pictures take: stamps in flux, photometry in magnitudes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.plots.curves import LightCurve
from fulgor.plots.stamps import Stamps
from fulgor.preprocessing.fits import StampError, read_stamp
from fulgor.preprocessing.ztf import ZtfAlert
from fulgor.preprocessing.ztf.placement import placement_of

__all__ = ["alert_curve", "alert_stamps"]

_BANDS = {1: "g", 2: "r", 3: "i"}


def alert_stamps(alert: ZtfAlert) -> Stamps:
    """Return an alert's stamps in the survey's flux units (DN), edge cuts put back where they belong.

    A stamp that is absent or cannot be read is None.
    """
    science, template, difference = (_framed(alert, cutout) for cutout in alert.cutouts)
    return Stamps(science, template, difference)


def _framed(alert: ZtfAlert, cutout: bytes | None) -> NDArray[np.float32] | None:
    if cutout is None:
        return None
    try:
        pixels = read_stamp(cutout).pixels
    except StampError:
        return None  # the row's flags tell that it is damaged
    place = placement_of(pixels, alert.candidate.get("xpos"), alert.candidate.get("ypos"))
    return place.framed(pixels)


def alert_curve(alert: ZtfAlert) -> LightCurve:
    """Return the photometry that an alert carries: its history up to its own exposure, and itself."""
    history = alert.history[alert.history["jd"] < alert.jd]
    own = alert.candidate

    def column(name: str) -> NDArray[np.float64]:
        return np.append(history[name].astype(np.float64), _number(own.get(name)))

    signs = np.append(history["sign"], -1 if own.get("isdiffpos") in ("f", "0", False) else 1)
    filters = [*history["fid"].tolist(), alert.fid]
    return LightCurve(
        days=np.append(history["jd"], alert.jd) - alert.jd,
        bands=np.array([_BANDS.get(fid, "?") for fid in filters]),
        magnitudes=column("magpsf"),
        errors=column("sigmapsf"),
        limits=column("diffmaglim"),
        negative=signs < 0,
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else np.nan
