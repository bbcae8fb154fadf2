"""Messages on their way: what is ready of each, and which of their records and items still wait for a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fulgor.consumer.batches import FlushReason
from fulgor.consumer.history import Past
from fulgor.consumer.lineup import Scorer
from fulgor.consumer.messages import Delivery
from fulgor.consumer.results import result
from fulgor.consumer.stream import Item, Record
from fulgor.errors import MalformedError
from fulgor.storage.rows import Coordinates, DeadLetter, Result

__all__ = ["Cut", "Decoded", "Pending", "Slot"]


@dataclass(slots=True, eq=False)
class Pending:
    """A message on its way: what is ready of it, and how many items still wait for the model."""

    delivery: Delivery
    results: list[Result] = field(default_factory=list)
    shadows: list[Result] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    empty: list[tuple[int, int]] = field(default_factory=list)
    waiting: int = 0

    @property
    def place(self) -> tuple[int, int, int]:
        """Feed, segment and offset."""
        return self.delivery.assignment.feed_id, self.delivery.assignment.segment, self.delivery.offset


@dataclass(frozen=True, slots=True)
class Cut:
    """Finished messages, in the order in which they were read, contiguous per assignment."""

    messages: Sequence[Pending]
    reason: FlushReason


@dataclass(frozen=True, slots=True)
class Decoded:
    """A record that waits for its preparation: feed, segment, offset and number, and how many its message has."""

    pending: Pending
    where: tuple[int, int, int, int]
    records: int
    record: Record | MalformedError


@dataclass(frozen=True, slots=True)
class Slot:
    """An item in a bucket, and where its result goes."""

    pending: Pending
    at: Coordinates
    item: Item

    @property
    def shapes(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """What items of one micro-batch have in common."""
        return tuple((name, array.shape) for name, array in sorted(self.item.arrays.items()))

    def result(self, row: Mapping[str, Any] | None, scorer: Scorer, past: Past | None) -> Result:
        """Return the item's row; see :func:`fulgor.consumer.results.result`."""
        return result(self.item, self.at, self.pending.delivery, row, scorer, past.history if past else None)
