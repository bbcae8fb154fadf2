"""What travels through the engine: assignments, and the messages delivered under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from fulgor.storage.rows import Hole

__all__ = ["Assignment", "Delivery", "Partition", "appended_at"]


class Partition(NamedTuple):
    """A topic's partition."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"


@dataclass(slots=True, eq=False)
class Assignment:
    """The right to consume one partition, for as long as its epoch stands.

    Queued work points to the assignment that it was read under; once `lost` is set, the work is
    dropped wherever it is.
    """

    partition: Partition
    feed_id: int
    epoch: int
    segment: int
    expected: int
    """The next offset that the source shall deliver: everything before it is in our hands."""
    lost: bool = False
    skips: Sequence[Hole] = ()
    """Offsets ahead that an operator wants passed over, in order."""
    alone_until: int = 0
    """Messages before this offset are worked on one by one: something there has ended the process before."""
    claimed_at: datetime | None = None
    """The database's time of the claim."""
    at_end: bool = False
    """Everything was read, up to the end that the source has told."""

    def passes_over(self, offset: int) -> bool:
        """Tell whether an operator wants this offset passed over."""
        return any(order.first_offset <= offset < order.next_offset for order in self.skips)


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """One message, or an end-of-partition mark, read under an assignment.

    Parameters
    ----------
    assignment : Assignment
        Under which it was read.
    offset : int
        Its offset; for a mark, the partition's end.
    previous : int
        The offset that was expected: offsets from here to `offset` hold no message.
    value, key, headers
        As they came; `value` is None for a tombstone and for a mark.
    timestamp_ms : int or None
        The Kafka timestamp; None where the message has none.
    received : float
        `time.monotonic()` when it was read.
    is_mark : bool
        True if there is no message here, only the end of a stretch without any.
    cause : str
        Why offsets between `previous` and `offset` hold no message, should there be any.
    """

    assignment: Assignment
    offset: int
    previous: int
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = field(default=())
    timestamp_ms: int | None = None
    received: float = 0.0
    is_mark: bool = False
    cause: str = "unknown"

    @property
    def size(self) -> int:
        """Bytes held in memory for this message."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.value or b"") + len(self.key or b"") + headers + 200

    @property
    def next_offset(self) -> int:
        """The offset to go on from once this is accounted for."""
        return self.offset if self.is_mark else self.offset + 1


def appended_at(timestamp_ms: int | None) -> datetime | None:
    """Return a Kafka timestamp as a datetime, None where there is none or it is impossible."""
    if timestamp_ms is None or not 0 <= timestamp_ms < 253_402_300_800_000:
        return None
    return datetime.fromtimestamp(timestamp_ms / 1000, tz=UTC)
