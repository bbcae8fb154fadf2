"""What a transaction writes: results, dead letters, and the account of every message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from numpy import float32
from numpy.typing import NDArray

__all__ = ["Batch", "Coordinates", "DeadLetter", "History", "Hole", "Outcome", "RawMessage", "Result", "Run"]


class Coordinates(NamedTuple):
    """Where a row came from: it accounts for this item of this record of this message."""

    feed_id: int
    segment: int
    offset: int
    record: int
    item: int
    records: int
    items: int


class History(NamedTuple):
    """What a row tells of its object's earlier alerts.

    Parameters
    ----------
    times : tuple of datetime
        When the packet says that there were some, the oldest first.
    alerts : tuple of str or None
        The alert at each of these times whose stamp latent entered the row; None where none was stored.
    """

    times: tuple[datetime, ...]
    alerts: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """One item with what the model made of it.

    Vectors are float32; None where they cannot be had, with the reason in `unscorable`. `model_id` is
    the model's key in this database, `reference` the id of the reference set behind `anomaly`; `history`
    is None for a model that takes none.
    """

    at: Coordinates
    model_id: int
    alert: str
    time: datetime
    time_ns: int | None
    object: str
    content_hash: bytes
    columns: tuple[Any, ...]
    flags: int
    latent: NDArray[float32] | None
    stamp_latent: NDArray[float32] | None
    probabilities: list[float | None] | None
    class_name: str | None
    scores: list[float | None] | None
    anomaly: float | None
    reference: str | None
    unscorable: str | None
    appended_at: datetime | None
    history: History | None = None

    @property
    def key(self) -> tuple[str, datetime]:
        """What tells it from other rows of its stream and model."""
        return self.alert, self.time


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Why a record cannot become a row."""

    at: Coordinates
    stage: str
    error_class: str
    reason: str


@dataclass(frozen=True, slots=True)
class RawMessage:
    """The bytes of a message as they came, kept for as long as a dead letter may need them."""

    value: bytes | None
    key: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp_ms: int | None


@dataclass(frozen=True, slots=True)
class Hole:
    """Offsets that no message was read from."""

    first_offset: int
    next_offset: int
    cause: str = "unknown"
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A contiguous stretch of one feed: from the stored offset to the next one to read."""

    feed_id: int
    epoch: int
    segment: int
    first_offset: int
    next_offset: int
    holes: tuple[Hole, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """All that one transaction writes.

    Parameters
    ----------
    runs : sequence of Run
        One per feed.
    results, dead : sequence
        Rows and dead letters of the runs' messages.
    empty : sequence of (feed_id, segment, offset, record, records)
        Messages without records (record -1) and records without items.
    messages : mapping of (feed_id, offset) to RawMessage
        The bytes behind any row that may yet turn into a dead letter.
    shadows : sequence of Result
        What other models made of the same items: rows beside those of `results`, which alone account for
        the messages.
    """

    runs: Sequence[Run]
    results: Sequence[Result]
    dead: Sequence[DeadLetter]
    empty: Sequence[tuple[int, int, int, int, int]] = ()
    messages: dict[tuple[int, int], RawMessage] = field(default_factory=dict)
    shadows: Sequence[Result] = ()

    def without(self, feeds: set[int]) -> Batch:
        """Return the batch less everything of these feeds."""
        return replace(
            self,
            runs=[run for run in self.runs if run.feed_id not in feeds],
            results=[row for row in self.results if row.at.feed_id not in feeds],
            dead=[row for row in self.dead if row.at.feed_id not in feeds],
            empty=[row for row in self.empty if row[0] not in feeds],
            shadows=[row for row in self.shadows if row.at.feed_id not in feeds],
        )


@dataclass(slots=True)
class Outcome:
    """What became of a batch's items once its transaction is committed."""

    stored: int = 0
    duplicates: int = 0
    dead: list[DeadLetter] = field(default_factory=list)
    shadows_lost: dict[int, int] = field(default_factory=dict)
    """Shadow rows that the database refused, by model: they cost nobody else anything."""
