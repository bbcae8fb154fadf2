r"""Readers of Avro binary data that take out the wanted fields and step over the rest.

A schema is compiled once into a tree of readers. Most fields of an alert are numbers, or a number
or null: their encodings form a regular language, so a run of such fields becomes *one* bytes pattern
whose groups are the wanted values, and the regular-expression engine steps over a whole candidate in
a few microseconds (fastavro's resolution against a reader schema needs some hundred). Whatever the
pattern does not match, such as a string longer than `LONGEST_PATTERN_STRING` or damage, is read field by
field, which also yields the exact place and cause of an error.

Sizes and counts that the data claim are checked against the bytes that remain; a schema whose array
items could be of zero bytes, or that refers to itself, is refused, so that the work is
proportional to the length of the data.
"""

from __future__ import annotations

import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = [
    "LONGEST_VARINT", "BodyError", "Capture", "EnumReader", "FixedReader", "NullReader", "Reader", "StringReader",
    "compile_pattern", "encode_varint", "literal", "primitive", "varint",
]  # fmt: skip

LONGEST_PATTERN_STRING = 99
LONGEST_VARINT = 10


class BodyError(ValueError):
    """The bytes of a record do not follow its schema.

    Parameters
    ----------
    at : int
        Offset in the decompressed block.
    problem : str
        What was found and what was expected.
    """

    def __init__(self, at: int, problem: str) -> None:
        super().__init__(problem)
        self.at = at
        self.problem = problem
        self.path: list[str] = []

    def __str__(self) -> str:
        where = ".".join(self.path)
        return f"{where + ': ' if where else ''}{self.problem} (byte {self.at} of the block)"


@dataclass(frozen=True, slots=True)
class Capture:
    """A pattern with exactly one group, and what turns the group's bytes into the value."""

    pattern: bytes
    convert: Callable[[bytes], Any]


class Reader(ABC):
    """Reads one Avro type."""

    #: Matches every encoding of the type that is not unusually long; None where no pattern can.
    pattern: bytes | None = None
    #: The same with the value as the only group.
    capture: Capture | None = None
    #: The fewest bytes that a value takes.
    minimum: int = 1

    @abstractmethod
    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """Return the value at offset `at` and the offset behind it."""

    def skip(self, data: bytes, at: int) -> int:
        """Return the offset behind the value at offset `at`."""
        return self.read(data, at)[1]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the zigzag variable-length integer at offset `at` and the offset behind it.

    Raises
    ------
    BodyError
        It runs past the end of the data, or past ten bytes.
    """
    value = shift = 0
    for end in range(at, min(at + LONGEST_VARINT, len(data))):
        byte = data[end]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), end + 1
        shift += 7
    if len(data) < at + LONGEST_VARINT:
        raise BodyError(at, "the data end within an integer")
    raise BodyError(at, f"an integer of more than {LONGEST_VARINT} bytes")


def encode_varint(value: int) -> bytes:
    """Return the zigzag variable-length encoding of a non-negative integer."""
    value <<= 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def literal(raw: bytes) -> bytes:
    """Return the pattern that matches just these bytes."""
    return b"".join(b"\\x%02x" % byte for byte in raw)


def _require(data: bytes, at: int, size: int, what: str) -> int:
    if not 0 <= size <= len(data) - at:
        raise BodyError(at, f"{what} claims {size} bytes, {max(len(data) - at, 0)} remain")
    return at + size


class NullReader(Reader):
    """Nothing, in no bytes."""

    pattern = b""
    minimum = 0

    def read(self, data: bytes, at: int) -> tuple[None, int]:  # noqa: ARG002
        """See `Reader.read`."""
        return None, at


class _Boolean(Reader):
    pattern = rb"[\x00\x01]"
    capture = Capture(rb"([\x00\x01])", lambda raw: raw == b"\x01")

    def read(self, data: bytes, at: int) -> tuple[bool, int]:
        end = _require(data, at, 1, "a boolean")
        if data[at] > 1:
            raise BodyError(at, f"a boolean of {data[at]}")
        return data[at] == 1, end


class _Integer(Reader):
    pattern = rb"[\x80-\xff]{0,9}+[\x00-\x7f]"

    def __init__(self, bits: int) -> None:
        self.limit = 1 << (bits - 1)
        self.capture = Capture(rb"([\x80-\xff]{0,9}+[\x00-\x7f])", self._convert)

    def _convert(self, raw: bytes) -> int:
        if len(raw) == 1:
            return (raw[0] >> 1) ^ -(raw[0] & 1)
        return self.read(raw, 0)[0]

    def read(self, data: bytes, at: int) -> tuple[int, int]:
        value, end = varint(data, at)
        if not -self.limit <= value < self.limit:
            raise BodyError(at, f"the integer {value} does not fit its type")
        return value, end

    def skip(self, data: bytes, at: int) -> int:
        return varint(data, at)[1]


class _Real(Reader):
    def __init__(self, code: str) -> None:
        self.layout = struct.Struct(code)
        self.minimum = self.layout.size
        self.pattern = b"." * self.minimum  # dots are twice as fast as a counted repeat
        unpack = self.layout.unpack
        self.capture = Capture(b"(" + self.pattern + b")", lambda raw: unpack(raw)[0])

    def read(self, data: bytes, at: int) -> tuple[float, int]:
        end = _require(data, at, self.minimum, "a real number")
        return self.layout.unpack_from(data, at)[0], end


class _Bytes(Reader):
    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        size, start = varint(data, at)
        end = _require(data, start, size, "a byte string")
        return data[start:end], end

    def skip(self, data: bytes, at: int) -> int:
        size, start = varint(data, at)
        return _require(data, start, size, "a byte string")


class StringReader(_Bytes):
    """A string in UTF-8."""

    _short: ClassVar[bytes] = b"|".join(
        literal(encode_varint(size)) + (b".{%d}" % size if size else b"") for size in range(LONGEST_PATTERN_STRING + 1)
    )
    pattern = b"(?:" + _short + b")"

    def __init__(self) -> None:
        self.capture = Capture(b"(" + self._short + b")", lambda raw: self.read(raw, 0)[0])

    def read(self, data: bytes, at: int) -> tuple[str, int]:
        """See `Reader.read`."""
        raw, end = super().read(data, at)
        try:
            return raw.decode(), end
        except UnicodeDecodeError as error:
            raise BodyError(at, f"a string that is not UTF-8: {error.reason}") from error


class FixedReader(Reader):
    """A byte string of the schema's own size."""

    def __init__(self, size: int) -> None:
        self.minimum = size
        self.pattern = b".{%d}" % size
        self.capture = Capture(b"(.{%d})" % size, bytes)

    def read(self, data: bytes, at: int) -> tuple[bytes, int]:
        """See `Reader.read`."""
        end = _require(data, at, self.minimum, "a fixed byte string")
        return data[at:end], end


class EnumReader(Reader):
    """One of the schema's symbols."""

    pattern = _Integer.pattern

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = tuple(symbols)
        self.capture = Capture(b"(" + _Integer.pattern + b")", lambda raw: self.read(raw, 0)[0])

    def read(self, data: bytes, at: int) -> tuple[str, int]:
        """See `Reader.read`."""
        index, end = varint(data, at)
        if not 0 <= index < len(self.symbols):
            raise BodyError(at, f"symbol {index} of an enumeration of {len(self.symbols)}")
        return self.symbols[index], end


_PRIMITIVES: Mapping[str, Callable[[], Reader]] = {
    "null": NullReader,
    "boolean": _Boolean,
    "int": lambda: _Integer(32),
    "long": lambda: _Integer(64),
    "float": lambda: _Real("<f"),
    "double": lambda: _Real("<d"),
    "bytes": _Bytes,
    "string": StringReader,
}


def primitive(name: str) -> Reader | None:
    """Return the reader of a primitive type, or None where `name` is none."""
    make = _PRIMITIVES.get(name)
    return make() if make else None


def compile_pattern(pattern: bytes) -> re.Pattern[bytes]:
    """Return the compiled pattern; a dot matches every byte."""
    return re.compile(pattern, re.DOTALL)
