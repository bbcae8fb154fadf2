"""LEELA chunks as messages: one Avro container a chunk, from records or from rows of a field file."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import fastavro
import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ArchiveError
from fulgor.preprocessing.avro.readers import encode_varint
from fulgor.preprocessing.leela.schema import CHUNK_SCHEMA, INTERVAL_ALIASES

__all__ = ["chunk_records", "encode_chunks", "is_chunk_table"]

_MARKER_BYTES: Final = 16
_NEEDED: Final = ("starttime", "wvfmdata")
_INT16_MAX: Final = 32_767


def encode_chunks(records: Iterable[Mapping[str, Any]]) -> bytes:
    """Return one Avro object container of chunks (null codec), each a block of its own.

    Parameters
    ----------
    records : iterable of mapping
        Of `CHUNK_SCHEMA`. The same records give the same bytes: the sync marker is their hash.
    """
    bodies = [_body(record) for record in records]
    marker = hashlib.blake2b(b"".join(bodies), digest_size=_MARKER_BYTES).digest()
    blocks = (part for body in bodies for part in (encode_varint(1), encode_varint(len(body)), body, marker))
    return b"".join((_header(), marker, *blocks))


def is_chunk_table(dtype: np.dtype[Any]) -> bool:
    """Tell whether a structured array's type is that of a field file."""
    names = dtype.names or ()
    return all(name in names for name in _NEEDED) and any(name in names for name in INTERVAL_ALIASES)


def chunk_records(table: NDArray[np.void], site: str, node: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a field file as records of `CHUNK_SCHEMA`.

    Parameters
    ----------
    table : ndarray
        Structured (n,), see :func:`is_chunk_table`; fields that are absent become null.
    site, node : str
        Where it was taken: field files do not say.
    """
    names: Sequence[str] = table.dtype.names or ()
    interval = next(name for name in INTERVAL_ALIASES if name in names)
    for row in table:
        samples, dtype = _packed(np.atleast_1d(np.asarray(row["wvfmdata"])))
        given = {name: row[name] for name in names}
        yield {
            "site": site,
            "node": node,
            "timeoffset": _real(given.get("timeoffset")),
            "starttime": _nanoseconds(given["starttime"]),
            "endtime": _nanoseconds(given["endtime"]) if "endtime" in given else None,
            "rxtime": _real(given.get("rxtime")),
            "smplint": float(given[interval]),
            "realsmplint": _real(given.get("realsmplint")),
            "numsmpls": int(given.get("numsmpls", len(row["wvfmdata"]))),
            "packetinsec": _whole(given.get("packetinsec")),
            "energy": _whole(given.get("energy")),
            "clipped": bool(given["clipped"]) if "clipped" in given else None,
            "dtype": dtype,
            "wvfmdata": samples,
        }


def _packed(samples: NDArray[Any]) -> tuple[bytes, str]:
    """Return samples in the smallest type that holds them exactly, and its name."""
    with np.errstate(invalid="ignore"):
        exact = bool((np.abs(samples) <= _INT16_MAX).all() and (np.rint(samples) == samples).all())
    dtype = "<i2" if exact else "<f8" if samples.dtype.itemsize == 8 else "<f4"
    return samples.astype(dtype).tobytes(), dtype


def _nanoseconds(time: Any) -> int:
    """Return a datetime64 of any unit as ns since 1970."""
    if not isinstance(time, np.datetime64) or np.isnat(time):
        raise ArchiveError(f"a chunk's time is {time!r}, a datetime64 is needed")
    return int(time.astype("datetime64[ns]").astype(np.int64))


def _real(value: Any) -> float | None:
    return None if value is None else float(value)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _body(record: Mapping[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _parsed(), dict(record))
    return out.getvalue()


@cache
def _parsed() -> Any:
    return fastavro.parse_schema(CHUNK_SCHEMA)


@cache
def _header() -> bytes:
    """Return a container's head up to its sync marker; made once, for writing the schema out is slow."""
    out = io.BytesIO()
    fastavro.writer(out, _parsed(), [], codec="null", sync_marker=bytes(_MARKER_BYTES))
    return out.getvalue()[:-_MARKER_BYTES]
