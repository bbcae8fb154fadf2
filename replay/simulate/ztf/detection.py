"""Rows of a history: what one visit says about the position, found or not."""

from __future__ import annotations

from typing import Any

import numpy as np

from fulgor.replay.simulate.ztf import naming
from fulgor.replay.simulate.ztf.lightcurves import flux, magnitude
from fulgor.replay.simulate.ztf.objects import FAINTEST_ERROR, SkyObject
from fulgor.replay.simulate.ztf.photometry import Measurement, stated_error
from fulgor.replay.simulate.ztf.schema import PREVIOUS_FIELDS
from fulgor.replay.simulate.ztf.sky import COLUMNS, PIXEL, ROWS

__all__ = ["calibration", "detection_row", "exposure_row"]

_EMPTY: dict[str, Any] = {word.split(":")[0]: None for word in PREVIOUS_FIELDS.split()}
_ASTROMETRY = 0.07  # arcseconds, bright limit
_OFF_CENTRE = 0.5  # ZTF counts pixel centres from 1: a channel ends half a pixel later


def calibration(sky_object: SkyObject, visit: int) -> dict[str, float]:
    """Return the photometric calibration of a visit."""
    scatter, residual, colour, colour_error, _ = sky_object.visits.calibration[visit].tolist()
    return {
        "magzpsci": float(sky_object.visits.zero_point[visit]),
        "magzpsciunc": scatter,
        "magzpscirms": residual,
        "clrcoeff": colour,
        "clrcounc": colour_error,
    }


def exposure_row(sky_object: SkyObject, visit: int) -> dict[str, Any]:
    """Return the row of a visit that found nothing: a limit."""
    jd, fid = float(sky_object.visits.jd[visit]), int(sky_object.visits.fid[visit])
    place = sky_object.place
    return {
        **_EMPTY,
        "jd": jd,
        "fid": fid,
        "pid": naming.process_id(jd, place.rcid),
        "diffmaglim": float(sky_object.visits.limit[visit]),
        "pdiffimfilename": naming.difference_file(jd, place.field, place.rcid, fid, archived=True),
        "programpi": "Kulkarni",
        "programid": 1,
        "nid": naming.night_id(jd),
        "rcid": place.rcid,
        "field": place.field,
        "rbversion": "t17_f5_c3",
        **calibration(sky_object, visit),
    }


def detection_row(
    rng: np.random.Generator,
    sky_object: SkyObject,
    visit: int,
    number: int,
    found: Measurement | None,
    references: tuple[dict[str, float], dict[str, float]],
    where: tuple[float, float] | None,
) -> dict[str, Any]:
    """Return the row of a detection.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    sky_object : SkyObject
        The object.
    visit, number : int
        The visit, and the number of the detection within its image.
    found : Measurement or None
        What was measured on the rendered stamps; None draws the numbers instead.
    references : tuple of dict
        The nearest template source in g and r.
    where : tuple of float or None
        Position on the readout channel; None draws it.
    """
    found = found or _unrendered(rng, sky_object, visit)
    place = sky_object.place
    x, y = where or (place.x + float(rng.uniform(-6, 6)), place.y + float(rng.uniform(-6, 6)))
    row = exposure_row(sky_object, visit)
    photometry = _photometry(rng, sky_object, visit, found)
    scatter = rng.normal(0.0, np.hypot(_ASTROMETRY, 0.5 * photometry["sigmapsf"]), 2) / 3600.0
    row |= {
        "candid": naming.candid(row["pid"], found.positive, number),
        "isdiffpos": "t" if found.positive else "f",
        "tblid": number,
        "xpos": x,
        "ypos": y,
        "ra": place.ra + float(scatter[0] / np.cos(np.radians(place.dec))),
        "dec": place.dec + float(scatter[1]),
        "mindtoedge": min(x, y, COLUMNS + _OFF_CENTRE - x, ROWS + _OFF_CENTRE - y),
        "rb": float(np.clip(rng.beta(8.0, 2.6), 0.17, 0.985)),
        **photometry,
        **_shape(rng, found),
        **references[row["fid"] - 1],
    }
    row["distnr"] = float(np.hypot(row["distnr"], PIXEL * 0.05)) if row["distnr"] > 0 else row["distnr"]
    return row


def _unrendered(rng: np.random.Generator, sky_object: SkyObject, visit: int) -> Measurement:
    """Draw what measuring the stamps of an earlier detection would have given."""
    change = float(sky_object.curve.change[visit])
    counts = max(abs(change) * 10.0 ** (0.4 * float(sky_object.visits.zero_point[visit])), 1.0)
    spread = float(sky_object.visits.noise[visit]) * 2.1 * float(sky_object.visits.fwhm[visit])
    values = {
        "chipsf": float(rng.lognormal(np.log(1.2), 0.4)),
        "aperture": counts * 0.9 + float(rng.normal(0.0, 1.6 * spread)),
        "aperture_big": counts * 0.98 + float(rng.normal(0.0, 3.0 * spread)),
        "sky": float(rng.normal(0.0, 0.3)),
        "nneg": int(rng.poisson(2.0)),
        "sumrat": float(1.0 - rng.beta(0.6, 12.0)),
        "aimage": 0.8 * float(rng.lognormal(0.0, 0.2)),
        "bimage": 0.0,
        "half_light": float(sky_object.visits.fwhm[visit]),
        "nbad": 0,
    }
    values["bimage"] = values["aimage"] / (1.0 + float(rng.gamma(1.6, 0.08)))
    return Measurement(change >= 0.0, max(counts + float(rng.normal(0.0, spread)), 1.0), values)


def _photometry(rng: np.random.Generator, sky_object: SkyObject, visit: int, found: Measurement) -> dict[str, float]:
    zero_point, limit = float(sky_object.visits.zero_point[visit]), float(sky_object.visits.limit[visit])
    magpsf = float(zero_point + magnitude(found.flux))
    quiet = sky_object.curve.template[int(sky_object.visits.fid[visit]) - 1]
    error = float(stated_error(flux(magpsf), np.asarray(quiet), np.asarray(limit)))
    if sky_object.label == "bogus":
        error *= float(rng.lognormal(0.15, 0.4))
    error = float(max(error * rng.lognormal(0.0, 0.1), 0.004))
    if error > FAINTEST_ERROR:  # it was found, so its error was taken to be small enough
        error = FAINTEST_ERROR * float(rng.uniform(0.9, 1.0))
    small = float(zero_point + magnitude(max(found.values["aperture"], 0.6 * found.flux)))
    big = float(zero_point + magnitude(max(found.values["aperture_big"], 0.6 * found.flux)))
    photon = error * float(rng.lognormal(-0.05, 0.35))
    return {
        "magpsf": magpsf,
        "sigmapsf": error,
        "magap": small,
        "sigmagap": round(max(photon, 0.001), 4),
        "magapbig": big,
        "sigmagapbig": round(max(photon * 1.25, 0.0012), 4),
        "magdiff": small - magpsf,
        "magfromlim": limit - small,
        "scorr": max(1.0857 / error * float(rng.lognormal(0.2, 0.3)), 5.0 + float(rng.exponential(0.3))),
    }


def _compressed(excess: float) -> float:
    """Return an elongation as measured in windows that follow the light less the farther it reaches."""
    return min(0.8 * excess, 0.22 + 0.12 * excess, 0.6)


def _starlike(rng: np.random.Generator) -> float:
    """Draw how star-like the extraction finds a residual: near one mostly, a long tail where noise misleads it."""
    return float(1.0 - (rng.beta(0.5, 35.0) if rng.random() < 0.82 else 0.5 * rng.random()))


def _shape(rng: np.random.Generator, found: Measurement) -> dict[str, float]:
    values = found.values
    fwhm = float(np.clip(2.35 * values["aimage"] * rng.lognormal(0.12, 0.3), 1.04, 12.0))
    extent = abs(np.log(fwhm / values["half_light"]))
    return {
        "chipsf": values["chipsf"],
        "sky": values["sky"] + float(rng.laplace(0.0, 0.2)),
        "fwhm": round(fwhm, 2),
        "classtar": round(float(np.clip(_starlike(rng) - 0.1 * extent * rng.random(), 0.02, 1.0)), 3),
        "seeratio": float(min(fwhm / values["half_light"] * rng.lognormal(0.25, 0.3), 2.0)),
        "aimage": round(values["aimage"], 3),
        "bimage": round(values["bimage"], 3),
        "aimagerat": values["aimage"] / fwhm,
        "bimagerat": values["bimage"] / fwhm,
        "elong": 1.0 + _compressed(values["aimage"] / values["bimage"] - 1.0),
        "nneg": int(values["nneg"]),
        "nbad": int(values["nbad"]),
        "sumrat": values["sumrat"],
    }
