"""The record shape of a ZTF 4.02 alert, as a table of names and types.

The table spells each nested record as ``name:code`` words: the codes ``d f i l s b`` are double,
float, int, long, string and bytes; a capital letter is the same type or null, with null as the
default; ``?`` after a capital letter is nullable without a default. Names, order and types are
those of the packets that ZTF publishes (facts; no documentation text is taken over).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import fastavro

__all__ = [
    "ALERT_SCHEMA",
    "CANDIDATE_FIELDS",
    "FORCED_FIELDS",
    "PREVIOUS_FIELDS",
    "SCHEMA_VERSION",
    "parsed_schema",
]

SCHEMA_VERSION = "4.02"

_TYPES = {"d": "double", "f": "float", "i": "int", "l": "long", "s": "string", "b": "bytes"}

# What a detection carries whether it is the alert itself or a row of its history.
_EXPOSURE = "jd:d fid:i pid:l diffmaglim:F pdiffimfilename:S programpi:S programid:i"
_SHAPE = (
    "chipsf:F magap:F sigmagap:F distnr:F magnr:F sigmagnr:F chinr:F sharpnr:F sky:F magdiff:F fwhm:F classtar:F"
    " mindtoedge:F magfromlim:F seeratio:F aimage:F bimage:F aimagerat:F bimagerat:F elong:F nneg:I nbad:I rb:F"
    " ssdistnr:F ssmagnr:F ssnamenr:S sumrat:F magapbig:F sigmagapbig:F"
)
_PLACE = "tblid:L nid:I rcid:I field:I xpos:F ypos:F"
_NEIGHBOUR = "objectidps{0}:L sgmag{0}:F srmag{0}:F simag{0}:F szmag{0}:F sgscore{0}:F distpsnr{0}:F"

CANDIDATE_FIELDS = (
    f"{_EXPOSURE} candid:l isdiffpos:s {_PLACE} ra:d dec:d magpsf:f sigmapsf:f {_SHAPE} ranr:d decnr:d"
    " sgmag1:F srmag1:F simag1:F szmag1:F sgscore1:F distpsnr1:F"
    " ndethist:i ncovhist:i jdstarthist:D jdendhist:D scorr:D tooflag:I objectidps1:L objectidps2:L"
    " sgmag2:F srmag2:F simag2:F szmag2:F sgscore2:F distpsnr2:F"
    f" {_NEIGHBOUR.format(3)}"
    " nmtchps:i rfid:l jdstartref:d jdendref:d nframesref:i rbversion:s dsnrms:F ssnrms:F dsdiff:F"
    " magzpsci:F magzpsciunc:F magzpscirms:F nmatches:i clrcoeff:F clrcounc:F zpclrcov:F zpmed:F clrmed:F clrrms:F"
    " neargaia:F neargaiabright:F maggaia:F maggaiabright:F exptime:F drb:F drbversion:s"
)
PREVIOUS_FIELDS = (
    f"{_EXPOSURE} candid:L? isdiffpos:S? {_PLACE} ra:D? dec:D? magpsf:F? sigmapsf:F? {_SHAPE} ranr:D? decnr:D?"
    " scorr:D magzpsci:F magzpsciunc:F magzpscirms:F clrcoeff:F clrcounc:F rbversion:s"
)
FORCED_FIELDS = (
    "field:I rcid:I fid:i pid:l rfid:l sciinpseeing:F scibckgnd:F scisigpix:F magzpsci:F magzpsciunc:F magzpscirms:F"
    " clrcoeff:F clrcounc:F exptime:F adpctdif1:F adpctdif2:F diffmaglim:F programid:i jd:d forcediffimflux:F"
    " forcediffimfluxunc:F procstatus:S distnr:F ranr:d decnr:d magnr:F sigmagnr:F chinr:F sharpnr:F"
)


def _field(word: str) -> dict[str, Any]:
    name, code = word.split(":")
    kind = _TYPES[code[0].lower()]
    if code[0].islower():
        return {"name": name, "type": kind}
    union = {"name": name, "type": ["null", kind]}
    return union if code.endswith("?") else {**union, "default": None}


def _record(name: str, words: str) -> dict[str, Any]:
    fields = [_field(word) for word in words.split()]
    return {"type": "record", "name": name, "namespace": "ztf.alert", "version": SCHEMA_VERSION, "fields": fields}


def _optional(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, "type": ["null", kind], "default": None}


def _alert() -> dict[str, Any]:
    head = [_field(word) for word in ("schemavsn:s", "publisher:s", "objectId:s", "candid:l")]
    cutout = _record("cutout", "fileName:s stampData:b")
    body = [
        {"name": "candidate", "type": _record("candidate", CANDIDATE_FIELDS)},
        _optional("prv_candidates", {"type": "array", "items": _record("prv_candidate", PREVIOUS_FIELDS)}),
        _optional("fp_hists", {"type": "array", "items": _record("fp_hist", FORCED_FIELDS)}),
        _optional("cutoutScience", cutout),
        _optional("cutoutTemplate", "ztf.alert.cutout"),
        _optional("cutoutDifference", "ztf.alert.cutout"),
    ]
    return {"type": "record", "name": "ztf.alert", "version": SCHEMA_VERSION, "fields": head + body}


ALERT_SCHEMA: dict[str, Any] = _alert()


@cache
def parsed_schema() -> dict[str, Any]:
    """Return the schema as :mod:`fastavro` wants it for writing; parsed once."""
    parsed = fastavro.parse_schema(ALERT_SCHEMA)
    if not isinstance(parsed, dict):  # a record schema parses to a dict; the library's type says more
        raise TypeError(f"the alert schema parsed to {type(parsed).__name__}, not a record")
    return parsed
