"""Forced photometry of the visits before an alert, as packets carry it since version 4."""

from __future__ import annotations

from typing import Any

import numpy as np

from fulgor.replay.simulate.ztf import naming
from fulgor.replay.simulate.ztf.detection import calibration
from fulgor.replay.simulate.ztf.objects import SkyObject
from fulgor.replay.simulate.ztf.sky import PIXEL

__all__ = ["forced_row"]

_FAILED = -99_999.0
_FAILURES = 0.3  # share of rows without a result, status 61
_MEASURED = ("forcediffimflux", "forcediffimfluxunc")
_REFERENCE = ("distnr", "ranr", "decnr", "magnr", "sigmagnr", "chinr", "sharpnr")


def forced_row(
    rng: np.random.Generator, sky_object: SkyObject, visit: int, references: tuple[dict[str, float], dict[str, float]]
) -> dict[str, Any]:
    """Return the forced photometry of one visit.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    sky_object : SkyObject
        The object.
    visit : int
        The visit.
    references : tuple of dict
        The nearest template source in g and r.
    """
    visits, place = sky_object.visits, sky_object.place
    jd, fid = float(visits.jd[visit]), int(visits.fid[visit])
    first, second = _quality(rng)
    failed = rng.random() < _FAILURES
    row = {
        "field": place.field,
        "rcid": place.rcid,
        "fid": fid,
        "pid": naming.process_id(jd, place.rcid),
        "rfid": naming.reference_id(place.field, fid, place.rcid),
        "sciinpseeing": float(visits.fwhm[visit]) * PIXEL,
        "scibckgnd": float(visits.sky[visit]),
        "scisigpix": float(visits.noise[visit]),
        **calibration(sky_object, visit),
        "exptime": 30.0,
        "adpctdif1": first,
        "adpctdif2": second,
        "diffmaglim": float(visits.limit[visit]),
        "programid": 1,
        "jd": jd,
        "procstatus": "61" if failed else "0",
    }
    if failed:
        return row | dict.fromkeys((*_MEASURED, *_REFERENCE), _FAILED)
    error = float(visits.noise[visit]) * 1.5 * float(visits.fwhm[visit])
    counts = float(sky_object.curve.change[visit]) * 10.0 ** (0.4 * float(visits.zero_point[visit]))
    measured = {"forcediffimflux": counts + float(rng.normal(0.0, error)), "forcediffimfluxunc": error}
    return row | measured | references[fid - 1]


def _quality(rng: np.random.Generator) -> tuple[float, float]:
    """Draw the two percentage differences by which the subtraction is judged."""
    first = float(rng.lognormal(np.log(0.055), 0.3))
    return first, first * float(rng.lognormal(0.15, 0.2))
