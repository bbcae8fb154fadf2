"""ZTF alert packets to `ZtfAlert`: every schema version from 1.x to 4.02, and re-serialised ones.

Missing is spelled in three ways (null, -999, the string ``null``); all become None here. The alert's
id is taken from ``candidate.candid``, since the one at the top level is absent in re-serialised packets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import MalformedError, NotThisStreamError
from fulgor.preprocessing.avro import Projection
from fulgor.preprocessing.messages import MessageDecoder
from fulgor.preprocessing.records import AvroRecord
from fulgor.preprocessing.schemas import SchemaSource

__all__ = ["CANDIDATE_FIELDS", "HISTORY_DTYPE", "PROJECTION", "ZtfAlert", "ZtfDecoder"]

#: Fields of the candidate that features, placing of stamps and stored columns need.
CANDIDATE_FIELDS = (
    "candid", "jd", "fid", "programid", "ra", "dec", "field", "rcid", "nid",
    "magpsf", "sigmapsf", "diffmaglim", "isdiffpos", "magnr", "sigmagnr", "distnr", "chinr", "sharpnr",
    "fwhm", "classtar", "rb", "drb", "xpos", "ypos", "mindtoedge", "exptime", "magzpsci",
    "sgscore1", "sgscore2", "sgscore3", "distpsnr1", "distpsnr2", "distpsnr3",
    "ndethist", "ncovhist", "jdstarthist", "ssdistnr", "ssmagnr", "ssnamenr",
)  # fmt: skip
_HISTORY_FIELDS = ("jd", "fid", "magpsf", "sigmapsf", "diffmaglim", "isdiffpos")
_TEXTS = ("isdiffpos", "ssnamenr")
_CUTOUTS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")

PROJECTION: Projection = {
    "objectId": None,
    "candid": None,
    "schemavsn": None,
    "candidate": dict.fromkeys(CANDIDATE_FIELDS),
    "prv_candidates": dict.fromkeys(_HISTORY_FIELDS),
    **{name: {"stampData": None} for name in _CUTOUTS},
}

#: One earlier detection or limit: Julian date, filter (1 g, 2 r, 3 i, 0 unknown), PSF magnitude and
#: error (NaN for a limit), 5-sigma limiting magnitude, sign of the difference (0 for a limit).
HISTORY_DTYPE = np.dtype(
    [("jd", "f8"), ("fid", "i8"), ("magpsf", "f8"), ("sigmapsf", "f8"), ("diffmaglim", "f8"), ("sign", "i8")]
)

_SIGNS = {"t": 1, "1": 1, "f": -1, "0": -1, True: 1, False: -1}
_SHAPE = ("jd", "fid", "ra", "dec", "magpsf")
_FILTERS = (1, 2, 3)
_MISSING_NUMBER = -999.0
_MAX_TEXT = 32


@dataclass(frozen=True, slots=True)
class ZtfAlert:
    """One alert, decoded.

    Parameters
    ----------
    candid : int
        The alert's id.
    object_id : str
        The object's name, ``ZTF`` and letters or digits.
    jd : float
        Julian date of the exposure's start, UTC.
    fid : int
        Filter: 1 g, 2 r, 3 i.
    programid : int
        Programme that paid for the exposure: 1 public, 2 partnership, 3 Caltech.
    ra, dec : float
        Position, J2000, degrees.
    candidate : mapping
        The fields of `CANDIDATE_FIELDS` that the packet has; a missing value is None.
    history : ndarray of HISTORY_DTYPE
        ``prv_candidates`` in the packet's order, neither clipped nor sorted.
    cutouts : tuple of bytes or None
        Science, template and difference stamp as sent.
    schemavsn : str
        The packet's schema version; empty where it says none.
    content_hash : bytes
        16 bytes over the writer schema and the record's bytes.
    """

    candid: int
    object_id: str
    jd: float
    fid: int
    programid: int
    ra: float
    dec: float
    candidate: Mapping[str, Any]
    history: NDArray[np.void]
    cutouts: tuple[bytes | None, bytes | None, bytes | None]
    schemavsn: str
    content_hash: bytes


def sign_of(isdiffpos: Any) -> int:
    """Return 1 for a positive difference, -1 for a negative one, 0 where the packet does not say."""
    return _SIGNS.get(isdiffpos, 0) if isinstance(isdiffpos, str | bool) else 0


def _known(name: str, value: Any) -> Any:
    """Return a field of the candidate; None for each spelling of missing and for what cannot be its value."""
    if name in _TEXTS:
        return value if isinstance(value, str | bool) and value not in ("null", "") else None
    if isinstance(value, float):
        return value if math.isfinite(value) and value != _MISSING_NUMBER else None
    return value if isinstance(value, int) else None


def _history(entries: Any) -> NDArray[np.void]:
    """Return ``prv_candidates`` by columns; a number that is missing, however spelled, becomes NaN."""
    if not isinstance(entries, list):
        return np.empty(0, HISTORY_DTYPE)
    rows = [entry for entry in entries if isinstance(entry, dict)]
    history = np.empty(len(rows), HISTORY_DTYPE)
    try:
        for name in ("jd", "magpsf", "sigmapsf", "diffmaglim"):
            column = np.array([row.get(name) for row in rows], np.float64)
            column[~np.isfinite(column) | (column == _MISSING_NUMBER)] = np.nan
            history[name] = column
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedError(f"prv_candidates.{name} is no number: {error}") from error
    filters = [row.get("fid") for row in rows]
    history["fid"] = [fid if fid in _FILTERS else 0 for fid in filters]
    history["sign"] = [sign_of(row.get("isdiffpos")) for row in rows]
    history["sign"][np.isnan(history["magpsf"])] = 0
    return history


def _cutout(part: Any) -> bytes | None:
    """Return a stamp's bytes, whether the packet nests them (as ZTF does) or not."""
    data = part.get("stampData") if isinstance(part, dict) else part
    return data if isinstance(data, bytes) and data else None


def _check_survey(values: Any) -> tuple[str, Mapping[str, Any]]:
    """Return object id and candidate of a record of ZTF's shape."""
    if not isinstance(values, dict):
        raise NotThisStreamError("not a ZTF alert: the message's top level is no record")
    object_id, candidate = values.get("objectId"), values.get("candidate")
    fields = candidate if isinstance(candidate, dict) else {}
    absent = [name for name in ("objectId", "candidate") if values.get(name) is None]
    absent += [f"candidate.{name}" for name in _SHAPE if name not in fields]
    if absent:
        named = f" (objectId {object_id[:_MAX_TEXT]!r})" if isinstance(object_id, str) else ""
        raise NotThisStreamError(f"not a ZTF alert{named}: it has no {', '.join(absent)}")
    if not isinstance(object_id, str) or not object_id.startswith("ZTF"):
        raise NotThisStreamError(f"not a ZTF alert: objectId {str(object_id)[:_MAX_TEXT]!r} does not start with 'ZTF'")
    if not (object_id.isascii() and object_id.isalnum() and len(object_id) <= _MAX_TEXT):
        raise MalformedError(f"objectId {object_id[:_MAX_TEXT]!r} is no name of an object")
    return object_id, fields


def _integer(candidate: Mapping[str, Any], name: str) -> int:
    value = candidate.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise MalformedError(f"candidate.{name} is {value!r}, an integer is needed")
    return value


def _real(candidate: Mapping[str, Any], name: str, low: float, high: float) -> float:
    value = candidate.get(name)
    if not isinstance(value, int | float) or not low <= value <= high:
        raise MalformedError(f"candidate.{name} is {value!r}, a number from {low:g} to {high:g} is needed")
    return float(value)


def _candid(values: Mapping[str, Any], candidate: Mapping[str, Any]) -> int:
    for value in (candidate.get("candid"), values.get("candid")):
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    raise MalformedError("no candid, neither in candidate nor at the top level")


def alert_of(record: AvroRecord) -> ZtfAlert:
    """Return the alert that a decoded record holds.

    Parameters
    ----------
    record : AvroRecord
        Decoded with `PROJECTION`.

    Raises
    ------
    NotThisStreamError
        It has not the shape of a ZTF alert; the reason names the fields that are missing.
    MalformedError
        It has, but a field that identifies the alert is missing or impossible.
    """
    values = record.values
    object_id, fields = _check_survey(values)
    candidate = {name: _known(name, value) for name, value in fields.items()}
    fid = _integer(candidate, "fid")
    if fid not in _FILTERS:
        raise MalformedError(f"candidate.fid is {fid}: ZTF's filters are 1, 2 and 3")
    return ZtfAlert(
        candid=_candid(values, candidate),
        object_id=object_id,
        jd=_real(candidate, "jd", -1e9, 1e9),
        fid=fid,
        programid=_integer(candidate, "programid"),
        ra=_real(candidate, "ra", 0, 360),
        dec=_real(candidate, "dec", -90, 90),
        candidate=candidate,
        history=_history(values.get("prv_candidates")),
        cutouts=(_cutout(values.get(_CUTOUTS[0])), _cutout(values.get(_CUTOUTS[1])), _cutout(values.get(_CUTOUTS[2]))),
        schemavsn=str(values.get("schemavsn") or "")[:_MAX_TEXT],
        content_hash=record.content_hash,
    )


class ZtfDecoder(MessageDecoder[ZtfAlert]):
    """Decodes messages of a ZTF topic to their alerts.

    Parameters
    ----------
    schemas : SchemaSource, optional
        Where the schemas of messages in Confluent wire format are found.
    """

    def __init__(self, schemas: SchemaSource | None = None) -> None:
        super().__init__(PROJECTION, alert_of, schemas)
