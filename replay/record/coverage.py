"""Which offsets of a partition are dealt with: ranges that grow, touch and merge."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

__all__ = ["Ranges"]


class Ranges:
    """A set of offsets, kept as ranges from `first` to before `after`.

    Parameters
    ----------
    ranges : iterable of (first, after)
        In any order; they may overlap.
    """

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._afters: list[int] = []
        for first, after in sorted(ranges):
            self.add(first, after)

    def __contains__(self, offset: int) -> bool:
        index = bisect_right(self._firsts, offset) - 1
        return index >= 0 and offset < self._afters[index]

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._afters, strict=True))

    def add(self, first: int, after: int) -> None:
        """Add the offsets from `first` to before `after`."""
        if after <= first:
            return
        low = bisect_right(self._firsts, first)
        if low and self._afters[low - 1] >= first:
            low -= 1
        high = bisect_right(self._firsts, after)
        if low < high:
            first = min(first, self._firsts[low])
            after = max(after, self._afters[high - 1])
        self._firsts[low:high] = [first]
        self._afters[low:high] = [after]

    def next_missing(self, offset: int) -> int:
        """Return the first offset from `offset` on that is not in the set."""
        index = bisect_right(self._firsts, offset) - 1
        return max(offset, self._afters[index]) if index >= 0 else offset

    @property
    def first(self) -> int:
        """The smallest offset; 0 for an empty set."""
        return self._firsts[0] if self._firsts else 0

    def missing(self) -> list[tuple[int, int]]:
        """Return the ranges between the ranges."""
        return list(zip(self._afters[:-1], self._firsts[1:], strict=True))
