"""LEELA messages to `LeelaChunk`: samples as bytes or arrays, either name of the interval, times in ns.

What identifies a chunk (site, time, interval, samples) has to be whole, or there is no row; anything
else that is odd becomes a flag in the preparation.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import MalformedError, NotThisStreamError
from fulgor.preprocessing.avro import Projection
from fulgor.preprocessing.leela.schema import CHUNK_SCHEMA, INTERVAL_ALIASES, MAX_SAMPLES, MIN_SAMPLES, SAMPLE_DTYPES
from fulgor.preprocessing.messages import MessageDecoder
from fulgor.preprocessing.records import AvroRecord
from fulgor.preprocessing.schemas import SchemaSource

__all__ = ["PROJECTION", "LeelaChunk", "LeelaDecoder", "chunk_of"]

PROJECTION: Projection = dict.fromkeys([*(field["name"] for field in CHUNK_SCHEMA["fields"]), *INTERVAL_ALIASES])

_MAX_TEXT = 64
_SHORTEST_INTERVAL_S, _LONGEST_INTERVAL_S = 1e-8, 1e-2
# A measured interval further from the stated one than this is not believed.
_INTERVAL_TOLERANCE = 0.01
_INT64_MAX = 2**63 - 1
_INT32_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class LeelaChunk:
    """One chunk of waveform, decoded.

    Parameters
    ----------
    site, node : str
        Name of the site and serial number of the receiver; one of the two may be empty.
    start_ns, end_ns : int
        Time of the first sample, and of the last as the message says (None where it does not), ns since 1970.
    rx_ns : int or None
        Time of reception.
    interval_ns : float
        Sampling interval: the measured one where it is believable, else the nominal one.
    packet, energy : int or None
        Number within the second; the receiver's own measure of strength.
    clipped : bool
        As the receiver says.
    samples : ndarray
        float64 (n,): ADC counts as sent, perhaps not finite.
    content_hash : bytes
        16 bytes over site, node, start, interval and samples: a chunk sent twice has the same, however
        it was encoded and whenever it was received.
    """

    site: str
    node: str
    start_ns: int
    end_ns: int | None
    rx_ns: int | None
    interval_ns: float
    packet: int | None
    energy: int | None
    clipped: bool
    samples: NDArray[np.float64]
    content_hash: bytes

    @property
    def name(self) -> str:
        """Site, or the node where the site has no name."""
        return self.site or self.node

    @property
    def id(self) -> str:
        """Id that depends on the content alone: two chunks with one start (a clock that jumped) differ."""
        return f"{self.name}-{self.start_ns}-{self.content_hash[:4].hex()}"


def chunk_of(record: AvroRecord) -> LeelaChunk:
    """Return the chunk that a decoded record holds.

    Parameters
    ----------
    record : AvroRecord
        Decoded with `PROJECTION`.

    Raises
    ------
    NotThisStreamError
        It has not the shape of a chunk; the reason names the fields that are missing.
    MalformedError
        It has, but site, time, interval or samples cannot be used.
    """
    values = _checked_shape(record.values)
    site, node = _text(values, "site"), _text(values, "node")
    if not (site or node):
        raise MalformedError("neither site nor node is given: nobody could say where the chunk was taken")
    start_ns = _time(values, "starttime")
    if start_ns is None:
        raise MalformedError("the chunk has no starttime")
    samples = _samples(values)
    interval_ns = _interval(values)
    return LeelaChunk(
        site=site,
        node=node,
        start_ns=start_ns,
        end_ns=_time(values, "endtime"),
        rx_ns=_microseconds(values.get("rxtime")),
        interval_ns=interval_ns,
        packet=_integer(values.get("packetinsec")),
        energy=_integer(values.get("energy")),
        clipped=values.get("clipped") is True,
        samples=samples,
        content_hash=_digest(site, node, start_ns, interval_ns, samples),
    )


class LeelaDecoder(MessageDecoder[LeelaChunk]):
    """Decodes messages of a LEELA topic to their chunks.

    Parameters
    ----------
    schemas : SchemaSource, optional
        Where the schemas of messages in Confluent wire format are found.
    """

    def __init__(self, schemas: SchemaSource | None = None) -> None:
        super().__init__(PROJECTION, chunk_of, schemas)


def _checked_shape(values: Any) -> Mapping[str, Any]:
    if not isinstance(values, dict):
        raise NotThisStreamError("not a LEELA chunk: the message's top level is no record")
    absent = [name for name in ("starttime", "wvfmdata") if name not in values]
    if not any(name in values for name in INTERVAL_ALIASES):
        absent.append(" or ".join(INTERVAL_ALIASES))
    if absent:
        raise NotThisStreamError(f"not a LEELA chunk: it has no {', '.join(absent)}")
    return values


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name) or ""
    if not isinstance(value, str) or len(value) > _MAX_TEXT or not value.isprintable():
        raise MalformedError(f"{name} is no name: {str(value)[:_MAX_TEXT]!r}")
    return value.strip()


def _time(values: Mapping[str, Any], name: str) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _INT64_MAX:
        raise MalformedError(f"{name} is {str(value)[:_MAX_TEXT]}, nanoseconds since 1970 are needed")
    return value


def _integer(value: Any) -> int | None:
    """Return a number that its column holds; None for what is no such number."""
    usable = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _INT32_MAX
    return value if usable else None


def _microseconds(value: Any) -> int | None:
    """Return microseconds as ns; None where there are none that a column holds."""
    if not isinstance(value, int | float) or not math.isfinite(value) or abs(value) * 1000 > _INT64_MAX // 2:
        return None
    return round(value * 1000)


def _interval(values: Mapping[str, Any]) -> float:
    stated = next(values[name] for name in INTERVAL_ALIASES if name in values)
    if not isinstance(stated, int | float) or not _SHORTEST_INTERVAL_S <= stated <= _LONGEST_INTERVAL_S:
        raise MalformedError(
            f"the sampling interval is {stated!r}: a number of seconds from {_SHORTEST_INTERVAL_S:g}"
            f" to {_LONGEST_INTERVAL_S:g} is needed"
        )
    measured = values.get("realsmplint")
    if isinstance(measured, float) and abs(measured - stated) <= _INTERVAL_TOLERANCE * stated:
        return measured * 1e9
    return float(stated) * 1e9


def _samples(values: Mapping[str, Any]) -> NDArray[np.float64]:
    samples = _raw_samples(values["wvfmdata"], values.get("dtype"))
    claimed = values.get("numsmpls")
    if claimed is not None and claimed != len(samples):
        raise MalformedError(f"numsmpls says {str(claimed)[:_MAX_TEXT]}, the chunk holds {len(samples)} samples")
    if not MIN_SAMPLES <= len(samples) <= MAX_SAMPLES:
        raise MalformedError(f"a chunk of {len(samples)} samples: {MIN_SAMPLES} to {MAX_SAMPLES} are read")
    return samples


def _raw_samples(data: Any, dtype: Any) -> NDArray[np.float64]:
    if isinstance(data, bytes):
        if dtype not in SAMPLE_DTYPES:
            raise MalformedError(
                f"the samples' dtype is {str(dtype)[:_MAX_TEXT]!r}: {', '.join(SAMPLE_DTYPES)} are read"
            )
        kind = np.dtype(dtype)
        if len(data) % kind.itemsize:
            raise MalformedError(f"{len(data)} bytes of samples are no multiple of the {kind.itemsize} of {dtype}")
        return np.frombuffer(data, kind).astype(np.float64)
    if isinstance(data, list) and len(data) <= MAX_SAMPLES:
        try:
            return np.array(data, np.float64).reshape(len(data))
        except (TypeError, ValueError, OverflowError) as error:
            raise MalformedError(f"wvfmdata is no array of numbers: {error}") from error
    what = f"an array of {len(data)}" if isinstance(data, list) else type(data).__name__
    raise MalformedError(f"wvfmdata is {what}: bytes, or an array of at most {MAX_SAMPLES} numbers, are needed")


def _digest(site: str, node: str, start_ns: int, interval_ns: float, samples: NDArray[np.float64]) -> bytes:
    digest = hashlib.blake2b(f"{site}\0{node}\0{start_ns}\0{interval_ns!r}\0".encode(), digest_size=16)
    digest.update(samples.astype("<f8", copy=False).tobytes())
    return digest.digest()
