"""A record of the survey's shape from an object, a visit and its images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.replay.simulate.ztf import naming
from fulgor.replay.simulate.ztf.catalogue import MISSING, Neighbours, find_neighbours, gaia, panstarrs, reference_source
from fulgor.replay.simulate.ztf.detection import detection_row, exposure_row
from fulgor.replay.simulate.ztf.fits import gzip_fits
from fulgor.replay.simulate.ztf.forced import forced_row
from fulgor.replay.simulate.ztf.objects import HISTORY_DAYS, SkyObject
from fulgor.replay.simulate.ztf.photometry import Measurement, measure
from fulgor.replay.simulate.ztf.schema import SCHEMA_VERSION
from fulgor.replay.simulate.ztf.stamps import Images, render

__all__ = ["Target", "assemble"]

_PUBLISHER = "ZTF (www.ztf.caltech.edu)"
_FORCED_ROWS = 21  # ZTF sends at most so many
_REFERENCE_SPAN = (2_458_160.0, 2_458_460.0)  # when the templates were taken, JD


@dataclass(frozen=True, slots=True)
class Target:
    """An object with what the catalogues say of it: the same in all its alerts.

    Parameters
    ----------
    object : SkyObject
        The object.
    name : str
        Its objectId.
    catalogue : dict
        Fields of Pan-STARRS and Gaia.
    references : tuple of dict
        Fields of the nearest template source in g and r.
    templates : tuple of dict
        Dates and number of frames of the templates in g and r.
    """

    object: SkyObject
    name: str
    catalogue: dict[str, Any]
    references: tuple[dict[str, float], dict[str, float]]
    templates: tuple[dict[str, Any], dict[str, Any]]

    @classmethod
    def of(cls, target: SkyObject, serial: int) -> Target:
        """Look an object up in the catalogues."""
        rng = np.random.default_rng([*target.key, 17])
        near: Neighbours = find_neighbours(target.scene)
        first = float(target.visits.jd[target.emitted[0]]) if not target.past_detections else target.first_seen
        return cls(
            object=target,
            name=naming.object_id(first, serial),
            catalogue=panstarrs(rng, near) | gaia(rng, near, target.scene.density),
            references=(
                reference_source(rng, near, target.place, 0),
                reference_source(rng, near, target.place, 1),
            ),
            templates=(_template(rng), _template(rng)),
        )


def _template(rng: np.random.Generator) -> dict[str, Any]:
    start = float(rng.uniform(*_REFERENCE_SPAN))
    return {
        "jdstartref": start,
        "jdendref": start + float(rng.uniform(30.0, 280.0)),
        "nframesref": 15 + int(rng.random() < 0.25) * int(rng.geometric(0.12)),
    }


def assemble(target: Target, visit: int, number: int) -> dict[str, Any]:
    """Render a visit and return the alert's record.

    Parameters
    ----------
    target : Target
        The object.
    visit : int
        Index of the visit.
    number : int
        Number of the detection within its image, 0..999.
    """
    sky_object = target.object
    rng = np.random.default_rng([*sky_object.key, 23, visit])
    images = render(rng, sky_object, visit)
    noise = float(sky_object.visits.noise[visit])
    found = measure(images.difference, images.science, images.psf, images.x, images.y, noise)
    where = (images.channel_x, images.channel_y)
    row = detection_row(rng, target.object, visit, number, found, target.references, where)
    sky_object.rows[visit] = row
    candidate = _candidate(rng, target, visit, row, found)
    stamps = _cutouts(sky_object, visit, images, found.positive, candidate)
    return {
        "schemavsn": SCHEMA_VERSION,
        "publisher": _PUBLISHER,
        "objectId": target.name,
        "candid": candidate["candid"],
        "candidate": candidate,
        **_history(rng, target, visit),
        **stamps,
    }


def _candidate(
    rng: np.random.Generator, target: Target, visit: int, row: dict[str, Any], found: Measurement
) -> dict[str, Any]:
    sky_object = target.object
    jd, fid = row["jd"], row["fid"]
    seen = np.flatnonzero(sky_object.detected[: visit + 1])
    earlier = sky_object.past_detections
    counts = {
        "ndethist": earlier + len(seen),
        "ncovhist": sky_object.past_visits + visit + 1,
        "jdstarthist": sky_object.first_seen if earlier else float(sky_object.visits.jd[seen[0]]) if len(seen) else jd,
        "jdendhist": jd,
    }
    values = found.values
    return {
        **row,
        **target.catalogue,
        **target.templates[fid - 1],
        **counts,
        **_calibration(rng, sky_object, visit, row),
        **_solar_system(rng, sky_object),
        **_scores(rng, sky_object, found),
        "tooflag": 0,
        "rfid": naming.reference_id(sky_object.place.field, fid, sky_object.place.rcid),
        "dsnrms": values["dsnrms"],
        "ssnrms": values["ssnrms"],
        "dsdiff": values["dsnrms"] - values["ssnrms"],
        "exptime": 30.0,
        "pdiffimfilename": naming.difference_file(
            jd, sky_object.place.field, sky_object.place.rcid, fid, archived=False
        ),
    }


def _calibration(rng: np.random.Generator, sky_object: SkyObject, visit: int, row: dict[str, Any]) -> dict[str, Any]:
    colour = float(sky_object.visits.calibration[visit, 4])
    return {
        "nmatches": int(np.clip(70.0 * sky_object.scene.density**0.75 * rng.lognormal(0.0, 0.25), 50, 2200)),
        "zpclrcov": -float(rng.lognormal(np.log(2e-5), 1.2)),
        "zpmed": row["magzpsci"] + row["clrcoeff"] * colour,
        "clrmed": colour,
        "clrrms": float(rng.uniform(0.15, 0.33)),
    }


def _solar_system(rng: np.random.Generator, sky_object: SkyObject) -> dict[str, Any]:
    if sky_object.predicted:
        near = min(float(rng.exponential(0.15)), 10.0) if rng.random() < 0.3 else 0.0
        magnitude = -2.5 * np.log10(sky_object.curve.change.max()) + rng.normal(-0.1, 0.35)
        return {
            "ssdistnr": near,
            "ssmagnr": round(float(magnitude), 1),
            "ssnamenr": str(int(rng.integers(1, 600_000))),
        }
    return {"ssdistnr": MISSING, "ssmagnr": MISSING, "ssnamenr": "null"}


def _scores(rng: np.random.Generator, sky_object: SkyObject, found: Measurement) -> dict[str, Any]:
    """Draw ZTF's own real/bogus scores; they overlap between the classes as the survey's do."""
    good = sky_object.label != "bogus"
    deep = 1.0 - rng.beta(0.08, 5.0) if good and rng.random() < 0.985 else rng.beta(0.25, 9.0)
    if rng.random() < 0.02:
        deep = float(rng.random())
    edge = min(found.values["nneg"] / 12.0, 0.3)
    shallow = (rng.beta(9.0, 2.4) if good else rng.beta(6.0, 5.5)) - 0.6 * edge * rng.random()
    return {
        "rb": float(np.clip(shallow, 0.17, 0.985)),
        "rbversion": "t17_f5_c3",
        "drb": float(np.clip(deep, 0.0, 1.0)),
        "drbversion": "d6_m7",
    }


def _history(rng: np.random.Generator, target: Target, visit: int) -> dict[str, Any]:
    sky_object = target.object
    jd = sky_object.visits.jd
    before = np.flatnonzero((jd >= jd[visit] - HISTORY_DAYS) & (np.arange(len(jd)) < visit))
    previous = [_previous_row(rng, target, int(index)) for index in before]
    forced = [forced_row(rng, sky_object, int(index), target.references) for index in before[-_FORCED_ROWS:]]
    return {"prv_candidates": previous or None, "fp_hists": forced or None}


def _previous_row(rng: np.random.Generator, target: Target, visit: int) -> dict[str, Any]:
    """Return a row of the history: as its own alert told it, or measured without rendering."""
    sky_object = target.object
    row = sky_object.rows.get(visit)
    if row is None:
        if sky_object.detected[visit]:
            row = detection_row(rng, sky_object, visit, int(rng.integers(60)), None, target.references, None)
        else:
            row = exposure_row(sky_object, visit)
        sky_object.rows[visit] = row
    # The history does not repeat what the solar-system catalogue said.
    return {**row, "ssdistnr": None, "ssmagnr": None, "ssnamenr": None}


def _cutouts(
    sky_object: SkyObject, visit: int, images: Images, positive: bool, candidate: dict[str, Any]
) -> dict[str, Any]:
    shown = images.difference if positive else -images.difference
    written = int(naming.unix_time(float(sky_object.visits.jd[visit]))) + 900
    names = naming.cutout_names(candidate["candid"], candidate["pid"], positive)
    arrays: tuple[NDArray[np.float64], ...] = (images.science, images.template, shown)
    keys = ("cutoutScience", "cutoutTemplate", "cutoutDifference")
    return {
        key: {"fileName": name, "stampData": gzip_fits(array[images.inside], written)}
        for key, name, array in zip(keys, names, arrays, strict=True)
    }
