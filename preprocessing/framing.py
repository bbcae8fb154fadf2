"""How a message wraps its records: an Avro container, or Confluent's schema id before a bare record.

A message that is neither is named by what it looks like, so that the dead letter tells the operator
what arrived.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from fulgor.errors import MalformedError

__all__ = ["Framing", "confluent_parts", "framing_of"]

CONFLUENT_HEADER_BYTES = 5
#: Ids are counted up from 1 by a registry; a larger one is no id.
MAX_SCHEMA_ID = 100_000_000
SHOWN_BYTES = 16


class Framing(Enum):
    """The framings that are read."""

    CONTAINER = "Avro object container"
    CONFLUENT = "Confluent wire format"


@dataclass(frozen=True, slots=True)
class _Look:
    """A kind of content and the bytes that it starts with."""

    start: re.Pattern[bytes]
    name: str


_LOOKS = tuple(
    _Look(re.compile(start, re.DOTALL | re.IGNORECASE), name)
    for start, name in (
        (rb"\s*\Z", "only white space"),
        (rb"version https://git-lfs", "a git LFS pointer: the file itself was not fetched"),
        (rb"\x1f\x8b", "gzip-compressed data: decompress the file before it is produced"),
        (rb"PK\x03\x04", "a zip archive"),
        (rb"\x28\xb5\x2f\xfd", "Zstandard-compressed data"),
        (rb"BZh", "bzip2-compressed data"),
        (rb"PAR1", "a Parquet file"),
        (rb"ARROW1", "an Arrow file"),
        (rb"\x89HDF", "an HDF5 file"),
        (rb"SIMPLE  =", "a FITS file"),
        (rb"\xff\xd8\xff", "a JPEG image"),
        (rb"\x89PNG", "a PNG image"),
        (rb"\x93NUMPY", "a NumPy file"),
        (rb"\x80[\x02-\x05]", "a Python pickle, which is never unpickled: it could run anything"),
        (rb"\xc3\x01", "Avro single-object encoding, which is not read"),
        (rb"\s*<(!doctype|html|\?xml)", "HTML or XML, such as the error page of a server"),
        (rb"\s*[{\[]", "JSON"),
        (rb".{257}ustar", "a tar archive: replay its members instead"),
        (rb"Obj.", "an Avro container of another version"),
    )
)


def _describe(value: bytes) -> str:
    for look in _LOOKS:
        if look.start.match(value):
            return look.name
    if all(byte in b"\t\n\r" or 0x20 <= byte < 0x7F for byte in value[:256]):
        return "text"
    return "unknown data, perhaps a bare Avro record without the schema that it was written with"


def framing_of(value: bytes) -> Framing:
    """Tell how a message wraps its records.

    Parameters
    ----------
    value : bytes
        The message.

    Raises
    ------
    MalformedError
        Stage ``framing``: neither framing; the reason names what the message looks like.
    """
    if not value:
        raise MalformedError("an empty message", stage="framing")
    if value.startswith(b"Obj\x01"):
        return Framing.CONTAINER
    if value[0] == 0 and len(value) > CONFLUENT_HEADER_BYTES and 0 < int.from_bytes(value[1:5], "big") <= MAX_SCHEMA_ID:
        return Framing.CONFLUENT
    raise MalformedError(
        f"neither an Avro container nor Confluent wire format, but {_describe(value)} "
        f"({len(value)} bytes, starting with {value[:SHOWN_BYTES].hex(' ')})",
        stage="framing",
    )


def confluent_parts(value: bytes) -> tuple[int, bytes]:
    """Return the schema id and the bare record of a message in Confluent wire format."""
    return int.from_bytes(value[1:CONFLUENT_HEADER_BYTES], "big"), value[CONFLUENT_HEADER_BYTES:]
