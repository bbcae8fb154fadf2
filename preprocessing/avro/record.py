"""The reader of a record: runs of simple fields by one pattern each, the others one by one."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fulgor.preprocessing.avro.readers import BodyError, Reader, compile_pattern

__all__ = ["Field", "RecordReader"]

LONGEST_RUN = 200
LONGEST_NESTED_PATTERN = 4096


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record, in the writer's order."""

    name: str
    reader: Reader
    wanted: bool

    @property
    def in_pattern(self) -> bytes | None:
        """The field's part of a run's pattern; None where it has to be read on its own."""
        if not self.wanted:
            return self.reader.pattern
        return self.reader.capture.pattern if self.reader.capture else None

    def read_into(self, values: dict[str, Any], data: bytes, at: int) -> int:
        """Read or skip the field at offset `at`; return the offset behind it."""
        try:
            if not self.wanted:
                return self.reader.skip(data, at)
            values[self.name], end = self.reader.read(data, at)
        except BodyError as error:
            error.path.insert(0, self.name)
            raise
        return end


class _Part(ABC):
    """Some neighbouring fields of a record."""

    @abstractmethod
    def read_into(self, values: dict[str, Any], data: bytes, at: int) -> int:
        """Put the wanted values into `values`; return the offset behind the part."""


class _Single(_Part):
    def __init__(self, field: Field) -> None:
        self.read_into = field.read_into  # type: ignore[method-assign]

    def read_into(self, values: dict[str, Any], data: bytes, at: int) -> int:
        raise NotImplementedError


class _Run(_Part):
    """Fields that one pattern matches."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self.pattern: re.Pattern[bytes] = compile_pattern(b"".join(field.in_pattern or b"" for field in fields))
        wanted = [field for field in fields if field.wanted]
        self.names = [field.name for field in wanted]
        self.converts: list[Callable[[bytes], Any]] = [
            field.reader.capture.convert for field in wanted if field.reader.capture
        ]

    def read_into(self, values: dict[str, Any], data: bytes, at: int) -> int:
        match = self.pattern.match(data, at)
        if match is None:
            return self._one_by_one(values, data, at)
        try:
            found = [raw and convert(raw) for convert, raw in zip(self.converts, match.groups(), strict=True)]
        except BodyError:  # raised again, with its place, where the field is read on its own
            return self._one_by_one(values, data, at)
        values.update(zip(self.names, found, strict=True))
        return match.end()

    def _one_by_one(self, values: dict[str, Any], data: bytes, at: int) -> int:
        for field in self.fields:
            at = field.read_into(values, data, at)
        return at


def _parts(fields: Sequence[Field], allowance: Callable[[int], bool]) -> Iterator[_Part]:
    """Yield the fields as runs and single fields; `allowance` grants or refuses a pattern's length."""
    run: list[Field] = []
    for field in fields:
        pattern = field.in_pattern
        if pattern is not None and len(run) < LONGEST_RUN and allowance(len(pattern)):
            run.append(field)
            continue
        if run:
            yield _Run(run)
            run = []
        yield _Single(field)
    if run:
        yield _Run(run)


def _skipping(fields: Sequence[Field]) -> bytes | None:
    """Return the pattern that steps over a record of which nothing is wanted, where there is a short one."""
    patterns = [field.reader.pattern for field in fields]
    if any(field.wanted for field in fields) or None in patterns:
        return None
    pattern = b"".join(filter(None, patterns))
    return pattern if len(pattern) <= LONGEST_NESTED_PATTERN else None


class RecordReader(Reader):
    """A record; its value is a dict of the wanted fields.

    Parameters
    ----------
    name : str
        The record's full name.
    fields : sequence of Field
        All fields of the writer, in order.
    allowance : callable
        Given a number of bytes, says whether patterns may grow by it: compiling a pattern takes about
        a microsecond per byte, so a schema may spend only so much; beyond it fields are read singly.
    """

    def __init__(self, name: str, fields: Sequence[Field], allowance: Callable[[int], bool]) -> None:
        self.name = name
        self.minimum = sum(field.reader.minimum for field in fields)
        self.pattern = _skipping(fields)
        self._whole = compile_pattern(self.pattern) if self.pattern and allowance(len(self.pattern)) else None
        self._read_parts = [part.read_into for part in _parts(fields, allowance)]

    def read(self, data: bytes, at: int) -> tuple[dict[str, Any], int]:
        """See `Reader.read`."""
        values: dict[str, Any] = {}
        for read_into in self._read_parts:
            at = read_into(values, data, at)
        return values, at

    def skip(self, data: bytes, at: int) -> int:
        """See `Reader.skip`."""
        match = self._whole.match(data, at) if self._whole else None
        return match.end() if match else self.read(data, at)[1]
