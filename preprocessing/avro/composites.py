"""Readers of the Avro types that hold other types: unions, arrays and maps; records are in `record`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fulgor.preprocessing.avro.readers import (
    BodyError,
    Capture,
    NullReader,
    Reader,
    StringReader,
    encode_varint,
    literal,
    varint,
)

__all__ = ["ArrayReader", "MapReader", "UnionReader"]


class UnionReader(Reader):
    """One of several types, told by a leading index."""

    def __init__(self, branches: Sequence[Reader]) -> None:
        self.branches = tuple(branches)
        patterns = [branch.pattern for branch in branches]
        if all(pattern is not None for pattern in patterns):
            self.pattern = self._alternatives([pattern or b"" for pattern in patterns])
            self.capture = self._capture_of()

    def _alternatives(self, patterns: Sequence[bytes]) -> bytes:
        indexed = (literal(encode_varint(index)) + pattern for index, pattern in enumerate(patterns))
        return b"(?:" + b"|".join(indexed) + b")"

    def _capture_of(self) -> Capture | None:
        """Return a capture where there is one type beside null: the group is then absent for null."""
        valued = [branch for branch in self.branches if not isinstance(branch, NullReader)]
        if len(valued) != 1 or valued[0].capture is None:
            return None
        inner = valued[0].capture
        return Capture(
            self._alternatives([b"" if isinstance(branch, NullReader) else inner.pattern for branch in self.branches]),
            inner.convert,
        )

    def _branch(self, data: bytes, at: int) -> tuple[Reader, int]:
        index, start = varint(data, at)
        if not 0 <= index < len(self.branches):
            raise BodyError(at, f"branch {index} of a union of {len(self.branches)} types")
        return self.branches[index], start

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """See `Reader.read`."""
        branch, start = self._branch(data, at)
        return branch.read(data, start)

    def skip(self, data: bytes, at: int) -> int:
        """See `Reader.skip`."""
        branch, start = self._branch(data, at)
        return branch.skip(data, start)


class ArrayReader(Reader):
    """A list, written in blocks, each with its count of items."""

    def __init__(self, items: Reader) -> None:
        self.items = items

    def _count(self, data: bytes, at: int) -> tuple[int, int]:
        count, start = varint(data, at)
        if count < 0:  # the block's size in bytes follows; the items are walked all the same
            _, start = varint(data, start)
        count = abs(count)
        if count > len(data) - start:
            raise BodyError(at, f"a block claims {count} items, {len(data) - start} bytes remain")
        return count, start

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """See `Reader.read`."""
        values: list[Any] = []
        read = self.items.read
        count, at = self._count(data, at)
        while count:
            for _ in range(count):
                value, at = read(data, at)
                values.append(value)
            count, at = self._count(data, at)
        return values, at

    def skip(self, data: bytes, at: int) -> int:
        """See `Reader.skip`."""
        skip = self.items.skip
        count, at = self._count(data, at)
        while count:
            for _ in range(count):
                at = skip(data, at)
            count, at = self._count(data, at)
        return at


class _Entry(Reader):
    """A key and its value."""

    minimum = 2

    def __init__(self, values: Reader) -> None:
        self.key = StringReader()
        self.values = values

    def read(self, data: bytes, at: int) -> tuple[tuple[str, Any], int]:
        key, at = self.key.read(data, at)
        value, at = self.values.read(data, at)
        return (key, value), at

    def skip(self, data: bytes, at: int) -> int:
        return self.values.skip(data, self.key.skip(data, at))


class MapReader(ArrayReader):
    """A mapping of strings, written like an array of pairs."""

    def __init__(self, values: Reader) -> None:
        super().__init__(_Entry(values))

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """See `Reader.read`."""
        entries, end = super().read(data, at)
        return dict(entries), end
