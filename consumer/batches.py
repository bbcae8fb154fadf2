"""Micro-batches: items of equal shapes together, until full, until the deadline, or until a cut.

A full bucket goes to the model at once. A *cut* is the moment at which everything pending is
finished and handed to the writer: every bucket that still holds an item of it is flushed, however
full, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Generic, TypeVar

__all__ = ["Buckets", "FlushReason"]

T = TypeVar("T")


class FlushReason(StrEnum):
    """Why a bucket went to the model."""

    FULL = "full"
    DEADLINE = "deadline"
    CUT = "cut"
    END = "end"


class Buckets(Generic[T]):
    """Items waiting for the model, by the shapes of their arrays.

    Parameters
    ----------
    size : int
        Items in a full bucket.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._waiting: dict[object, list[T]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, shapes: object, item: T) -> list[T] | None:
        """Put an item into its bucket; return the bucket's content if that filled it."""
        bucket = self._waiting.setdefault(shapes, [])
        bucket.append(item)
        return self._waiting.pop(shapes) if len(bucket) >= self.size else None

    def drain(self) -> Iterator[list[T]]:
        """Empty all buckets, one after the other."""
        while self._waiting:
            _, bucket = self._waiting.popitem()
            yield bucket
