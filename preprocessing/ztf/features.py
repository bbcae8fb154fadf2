"""Metadata features: the 23 of the ALeRCE stamp classifier and the scales of the stamps.

None depends on the orientation of the stamps, and none is among what labels are made from (solar
system matches, real/bogus scores).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fulgor.preprocessing.ztf.alert import ZtfAlert, sign_of
from fulgor.preprocessing.ztf.stamps import Level

__all__ = ["FEATURE_NAMES", "ecliptic", "features", "galactic"]


class _Range(NamedTuple):
    """Least and largest value, and what stands for a missing one."""

    low: float
    high: float
    missing: float


#: Clips of sgscore, distpsnr, fwhm, ndethist, ncovhist, chinr, sharpnr and non_detections are ALeRCE's.
#: The other bounds lie outside of all real values: they only keep impossible ones from a network.
_RANGES: Mapping[str, _Range] = {
    "sgscore1": _Range(-1, 1, -1),
    "distpsnr1": _Range(-1, 1000, -1),
    "sgscore2": _Range(-1, 1, -1),
    "distpsnr2": _Range(-1, 1000, -1),
    "sgscore3": _Range(-1, 1, -1),
    "distpsnr3": _Range(-1, 1000, -1),
    "isdiffpos": _Range(0, 1, 0),
    "fwhm": _Range(0, 10, 0),
    "magpsf": _Range(0, 40, 0),
    "sigmapsf": _Range(0, 10, 0),
    "ra": _Range(0, 360, 0),
    "dec": _Range(-90, 90, 0),
    "diffmaglim": _Range(0, 40, 0),
    "classtar": _Range(0, 1, 0),
    "ndethist": _Range(0, 20, 0),
    "ncovhist": _Range(0, 3000, 0),
    "ecl_lat": _Range(-90, 90, 0),
    "ecl_long": _Range(0, 360, 0),
    "gal_lat": _Range(-90, 90, 0),
    "gal_long": _Range(0, 360, 0),
    "non_detections": _Range(0, 2000, 0),
    "chinr": _Range(-1, 15, -1),
    "sharpnr": _Range(-1, 1.5, -1),
    "science_sky": _Range(-30, 30, 0),
    "science_noise": _Range(-30, 30, 0),
    "template_sky": _Range(-30, 30, 0),
    "template_noise": _Range(-30, 30, 0),
    "difference_sky": _Range(-30, 30, 0),
    "difference_noise": _Range(-30, 30, 0),
}

#: Names of the features, in order.
FEATURE_NAMES = tuple(_RANGES)

# Rotations from ICRS to the galactic frame and to the barycentric mean ecliptic of J2000, as
# astropy.coordinates has them; astropy itself takes long to import and 2 ms for each position.
_TO_GALACTIC = (
    (-0.05487565771259163, -0.8734370519556159, -0.48383507361671546),
    (0.4941094371927268, -0.4448297212232952, 0.7469821839866676),
    (-0.8676661375596576, -0.19807633727300053, 0.4559838136873016),
)
_TO_ECLIPTIC = (
    (0.9999999999999941, -7.078368960971556e-08, 8.056213977613186e-08),
    (3.2897004077419646e-08, 0.9174821299149584, 0.39777699944404793),
    (-1.0207044725484355e-07, -0.39777699944404304, 0.9174821299149556),
)


def _rotated(rotation: tuple[tuple[float, ...], ...], ra: float, dec: float) -> tuple[float, float]:
    """Return longitude (0..360) and latitude in degrees after a rotation."""
    alpha, delta = math.radians(ra), math.radians(dec)
    vector = (math.cos(delta) * math.cos(alpha), math.cos(delta) * math.sin(alpha), math.sin(delta))
    x, y, z = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in rotation)
    return math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))


def galactic(ra: float, dec: float) -> tuple[float, float]:
    """Return galactic longitude and latitude in degrees of an ICRS position in degrees."""
    return _rotated(_TO_GALACTIC, ra, dec)


def ecliptic(ra: float, dec: float) -> tuple[float, float]:
    """Return longitude and latitude in degrees in the barycentric mean ecliptic frame of J2000."""
    return _rotated(_TO_ECLIPTIC, ra, dec)


def _clipped(name: str, value: Any) -> float:
    low, high, missing = _RANGES[name]
    if not isinstance(value, int | float):
        return missing
    return min(max(value, low), high)


def _non_detections(candidate: Mapping[str, Any]) -> float | None:
    covered, detected = candidate.get("ncovhist"), candidate.get("ndethist")
    return covered - detected if isinstance(covered, int) and isinstance(detected, int) else None


def _stamp_scales(levels: tuple[Level, Level, Level]) -> dict[str, float | None]:
    """Return the sky (asinh) and the noise (log) of each stamp, in DN; None where it cannot be had."""
    found: dict[str, float | None] = {}
    for name, level in zip(("science", "template", "difference"), levels, strict=True):
        usable = level.noise > 0
        found[f"{name}_sky"] = math.asinh(level.sky) if usable else None
        found[f"{name}_noise"] = math.log(level.noise) if usable else None
    return found


def features(alert: ZtfAlert, levels: tuple[Level, Level, Level]) -> NDArray[np.float32]:
    """Return the metadata features of an alert.

    Parameters
    ----------
    alert : ZtfAlert
        The alert.
    levels : tuple of Level
        Sky and noise of science, template and difference stamp.

    Returns
    -------
    ndarray of float32, shape (F,)
        In the order of `FEATURE_NAMES`, clipped, never NaN. ``isdiffpos`` is 1 for a negative
        difference and 0 for a positive one, as ALeRCE has it. A missing value is -1 for sgscore,
        distpsnr, chinr and sharpnr, else 0.
    """
    ecl_long, ecl_lat = ecliptic(alert.ra, alert.dec)
    gal_long, gal_lat = galactic(alert.ra, alert.dec)
    values = {
        **alert.candidate,
        "isdiffpos": float(sign_of(alert.candidate.get("isdiffpos")) < 0),
        "ra": alert.ra, "dec": alert.dec,
        "ecl_lat": ecl_lat, "ecl_long": ecl_long, "gal_lat": gal_lat, "gal_long": gal_long,
        "non_detections": _non_detections(alert.candidate),
        **_stamp_scales(levels),
    }  # fmt: skip
    return np.array([_clipped(name, values.get(name)) for name in FEATURE_NAMES], np.float32)
