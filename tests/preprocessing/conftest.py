"""Small ZTF-like packets made on the spot, and readers of what the tests compare with."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest

from fulgor.errors import MalformedError
from fulgor.preprocessing.ztf import ZtfAlert, ZtfDecoder

_NULLABLE_FLOATS = (
    "magpsf", "sigmapsf", "diffmaglim", "chinr", "sharpnr", "fwhm", "classtar", "rb", "drb", "xpos", "ypos",
    "mindtoedge", "sgscore1", "distpsnr1", "ssdistnr", "magnr",
)  # fmt: skip


def _field(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, "type": ["null", kind], "default": None}


def _cutout(name: str) -> dict[str, Any]:
    first = name == "cutoutScience"
    kind: Any = "cutout"
    if first:
        kind = {"type": "record", "name": "cutout", "fields": [
            {"name": "fileName", "type": "string"}, {"name": "stampData", "type": "bytes"}]}  # fmt: skip
    return _field(name, kind)


SCHEMA: dict[str, Any] = {
    "type": "record", "namespace": "ztf", "name": "alert",
    "fields": [
        {"name": "schemavsn", "type": "string"},
        {"name": "objectId", "type": "string"},
        _field("candid", "long"),
        {"name": "candidate", "type": {"type": "record", "name": "candidate", "fields": [
            {"name": "jd", "type": ["double", "null"]}, _field("fid", "int"), _field("pid", "long"),
            {"name": "programid", "type": "int"}, _field("candid", "long"), _field("isdiffpos", "string"),
            {"name": "ra", "type": "double"}, {"name": "dec", "type": "double"},
            _field("ssnamenr", "string"), _field("ndethist", "int"), _field("ncovhist", "int"),
            *(_field(name, "float") for name in _NULLABLE_FLOATS),
        ]}},
        _field("prv_candidates", {"type": "array", "items": {"type": "record", "name": "prv_candidate", "fields": [
            {"name": "jd", "type": "double"}, {"name": "fid", "type": "int"}, _field("pid", "long"),
            _field("pdiffimfilename", "string"), _field("isdiffpos", "string"),
            *(_field(name, "float") for name in ("magpsf", "sigmapsf", "diffmaglim")),
        ]}}),
        _field("fp_hists", {"type": "array", "items": {"type": "record", "name": "fp_hist", "fields": [
            {"name": "jd", "type": "double"}, _field("forcediffimflux", "float")]}}),
        *(_cutout(name) for name in ("cutoutScience", "cutoutTemplate", "cutoutDifference")),
    ],
}  # fmt: skip


def fits_bytes(pixels: np.ndarray, *extra: str) -> bytes:
    """A FITS file as ZTF writes it: its SIMPLE card is not in the standard column."""
    cards = [
        "SIMPLE  =  T", "BITPIX  =                  -32", "NAXIS   =                    2",
        f"NAXIS1  = {pixels.shape[1]:>20}", f"NAXIS2  = {pixels.shape[0]:>20}", "BUNIT   = 'DN      '", *extra, "END",
    ]  # fmt: skip
    header = "".join(f"{card:<80}" for card in cards).encode()
    data = pixels.astype(">f4").tobytes()
    return header.ljust(2880) + data + bytes(-len(data) % 2880)


def stamp(pixels: np.ndarray) -> bytes:
    return gzip.compress(fits_bytes(pixels), 1, mtime=0)


def sky(seed: int, shape: tuple[int, int] = (63, 63), peak: float = 500.0) -> np.ndarray:
    """Noise around a level, and a source at the centre of the whole frame."""
    rng = np.random.default_rng(seed)
    image = rng.normal(150, 7, (63, 63))
    y, x = np.mgrid[:63, :63]
    image += peak * np.exp(-((y - 31) ** 2 + (x - 31) ** 2) / 8)
    return image[: shape[0], : shape[1]].astype(np.float32)


def packet(**changes: Any) -> dict[str, Any]:
    """A record; `candidate` is updated, everything else replaced."""
    candidate = {
        "jd": 2460000.75, "fid": 1, "pid": 7, "programid": 1, "candid": 2481114533215015024, "isdiffpos": "t",
        "ra": 150.0, "dec": 20.0, "ssnamenr": "null", "ndethist": 3, "ncovhist": 50, "magpsf": 18.5, "sigmapsf": 0.1,
        "diffmaglim": 20.5, "xpos": 1500.0, "ypos": 1500.0, "fwhm": 2.0, "ssdistnr": -999.0, "sgscore1": -999.0,
    }  # fmt: skip
    candidate.update(changes.pop("candidate", {}))
    record: dict[str, Any] = {
        "schemavsn": "3.3", "objectId": "ZTF18aaaaaaa", "candid": candidate["candid"], "candidate": candidate,
        "prv_candidates": None, "fp_hists": [{"jd": 2460000.0, "forcediffimflux": 1.5}],
    }  # fmt: skip
    for seed, name in enumerate(("cutoutScience", "cutoutTemplate", "cutoutDifference")):
        record[name] = {"fileName": name, "stampData": stamp(sky(seed))}
    record.update(changes)
    return record


def container(*records: dict[str, Any], codec: str = "null", schema: Any = None, interval: int = 1 << 20) -> bytes:
    out = io.BytesIO()
    fastavro.writer(
        out, schema or SCHEMA, records, codec=codec, sync_interval=interval, sync_marker=b"0123456789abcdef"
    )
    return out.getvalue()


def decode_one(**changes: Any) -> ZtfAlert:
    (alert,) = ZtfDecoder()(container(packet(**changes)))
    if isinstance(alert, MalformedError):
        raise alert
    return alert


class Packets:
    """What the tests make packets with."""

    schema = SCHEMA
    fits_bytes = staticmethod(fits_bytes)
    stamp = staticmethod(stamp)
    sky = staticmethod(sky)
    packet = staticmethod(packet)
    container = staticmethod(container)
    decode_one: Callable[..., ZtfAlert] = staticmethod(decode_one)

    @staticmethod
    def cutout(data: bytes) -> dict[str, Any]:
        return {"fileName": "x", "stampData": data}


@pytest.fixture(scope="session")
def packets() -> type[Packets]:
    return Packets


def real_files(shared: Path) -> Iterator[Path]:
    for folder in ("ztf/packets", "ztf/bulk", "ztf_unlabelled"):
        yield from sorted((shared / "data" / folder).rglob("*.avro"))
