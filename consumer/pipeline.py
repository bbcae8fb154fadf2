"""From messages to finished rows: decode, prepare, micro-batch, infer.

One thread drives it. A record that cannot be decoded or prepared becomes a dead letter here and
costs nobody else anything; neither does a shadow model that fails. Another thread may offer another
line-up of models: it takes over at the next cut, so that no batch is half the one's and half the other's.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from fulgor.consumer.batches import Buckets, FlushReason
from fulgor.consumer.lineup import Lineup, Scorer
from fulgor.consumer.messages import Assignment, Delivery
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.results import dead_letter, result
from fulgor.consumer.stream import Item, Record, Stream
from fulgor.errors import BrokerError, MalformedError
from fulgor.storage.rows import Coordinates, DeadLetter, Result

__all__ = ["Cut", "Pending", "Pipeline"]

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Pending:
    """A message on its way: what is ready of it, and how many items still wait for the model."""

    delivery: Delivery
    results: list[Result] = field(default_factory=list)
    shadows: list[Result] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    empty: list[tuple[int, int]] = field(default_factory=list)
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """Finished messages, in the order in which they were read, contiguous per assignment."""

    messages: Sequence[Pending]
    reason: FlushReason


@dataclass(frozen=True, slots=True)
class _Slot:
    """An item in a bucket, and where its result goes."""

    pending: Pending
    at: Coordinates
    item: Item

    def result(self, row: dict[str, Any] | None, scorer: Scorer) -> Result:
        return result(self.item, self.at, self.pending.delivery, row, scorer)


class Pipeline:
    """Decodes, prepares, batches and infers.

    Parameters
    ----------
    stream : Stream
        The instrument.
    lineup : Lineup
        The models to begin with.
    batch_size : int
        Items in a full micro-batch.
    deadline_s : float
        Longest time that a message waits for company.
    metrics : Metrics
        Where times and counts go.
    """

    def __init__(
        self, stream: Stream, lineup: Lineup, *,
        batch_size: int, deadline_s: float, metrics: Metrics,
    ) -> None:  # fmt: skip
        self._stream = stream
        self._lineup = lineup
        self._offers: deque[Lineup] = deque()
        self._failing: set[int] = set()
        self._deadline_s = deadline_s
        self._metrics = metrics
        self._buckets: Buckets[_Slot] = Buckets(batch_size)
        self._pending: list[Pending] = []

    def offer(self, lineup: Lineup) -> None:
        """Have other models take over between two batches; may be called from any thread."""
        self._offers.append(lineup)

    def accept(self, delivery: Delivery) -> Cut | None:
        """Take one message in; return a cut if that finished everything pending.

        Raises
        ------
        BrokerError
            A schema registry is away: nothing was taken in, try the same message again.
        """
        if not self._pending:
            self._take_over()
        pending = Pending(delivery)
        records = [] if delivery.is_mark else self._read(pending)
        self._pending.append(pending)
        flushed = False
        # One record after the other: the arrays of a message with thousands of them would not fit.
        for slot in self._slots(pending, records):
            full = self._buckets.add(_shapes(slot.item), slot)
            if full is not None:
                self._infer(full, FlushReason.FULL)
                flushed = True
            elif len(self._buckets) >= 2 * self._buckets.size:  # many shapes, none of which fills a batch
                self._flush(FlushReason.CUT)
        too_many = len(self._pending) >= 2 * self._buckets.size
        if (flushed and not len(self._buckets)) or too_many or self._offers:
            return self.cut(FlushReason.FULL if flushed else FlushReason.CUT)
        return None

    def seconds_left(self) -> float | None:
        """Return the time until the deadline of the oldest pending message, None if nothing is pending."""
        if not self._pending:
            return None
        return self._pending[0].delivery.received + self._deadline_s - monotonic()

    def cut(self, reason: FlushReason) -> Cut | None:
        """Finish everything pending and hand it over; None if there is nothing."""
        self._flush(reason)
        messages, self._pending = self._pending, []
        self._take_over()
        return Cut(messages, reason) if messages else None

    def _flush(self, reason: FlushReason) -> None:
        for bucket in self._buckets.drain():
            self._infer(bucket, reason)

    def forget(self, assignment: Assignment) -> int:
        """Drop the pending work of a lost assignment, and return how many bytes of messages that frees."""
        slots = [slot for bucket in self._buckets.drain() for slot in bucket]
        freed = sum(pending.delivery.size for pending in self._pending if pending.delivery.assignment is assignment)
        self._pending = [pending for pending in self._pending if pending.delivery.assignment is not assignment]
        for slot in slots:
            if slot.pending.delivery.assignment is not assignment:
                self._buckets.add(_shapes(slot.item), slot)
        return freed

    def _take_over(self) -> None:
        while self._offers:
            self._lineup = self._offers.popleft()

    def _read(self, pending: Pending) -> Sequence[Record | MalformedError]:
        try:
            with self._timed("decode"):
                records = self._decode(pending.delivery.value)
        except BrokerError:
            raise
        except Exception as error:  # noqa: BLE001 - the quarantine: whatever a message does to the decoder, it is kept
            pending.dead.append(dead_letter(Coordinates(*_place(pending), 0, 0, 1, 1), "decode", error))
            return []
        self._metrics.stage_items.labels("decode").inc(len(records))
        if not records:
            pending.empty.append((-1, 0))
        return records

    def _slots(self, pending: Pending, records: Sequence[Record | MalformedError]) -> Iterator[_Slot]:
        for index, record in enumerate(records):
            with self._timed("prepare"):
                slots = list(self._prepare(pending, (*_place(pending), index), len(records), record))
            yield from slots

    def _decode(self, value: bytes | None) -> Sequence[Record | MalformedError]:
        if value is None:
            raise MalformedError("the message has no value (a tombstone)", stage="framing")
        return self._stream.decode(value)

    def _prepare(
        self, pending: Pending, where: tuple[int, int, int, int], records: int, record: Record | MalformedError
    ) -> Iterator[_Slot]:
        try:
            if isinstance(record, MalformedError):
                raise record
            items = self._stream.prepare(record)
        except Exception as error:  # noqa: BLE001 - the quarantine, as above, for one record
            pending.dead.append(dead_letter(Coordinates(*where, 0, records, 1), "prepare", error))
            return
        self._metrics.stage_items.labels("prepare").inc(len(items))
        if not items:
            pending.empty.append((where[3], records))
        for index, item in enumerate(items):
            at = Coordinates(*where, index, records, len(items))
            if item.unscorable is None:
                pending.waiting += 1
                yield _Slot(pending, at, item)
            else:
                pending.results.append(result(item, at, pending.delivery, None, self._lineup.live))
                pending.shadows += [result(item, at, pending.delivery, None, one) for one in self._lineup.shadows]

    def _infer(self, slots: Sequence[_Slot], reason: FlushReason) -> None:
        self._metrics.flushes.labels(reason.value).inc()
        self._metrics.fill.observe(len(slots) / self._buckets.size)
        live = self._lineup.live
        with self._timed("infer"):
            rows = self._predict(live, slots)
        self._metrics.stage_items.labels("infer").inc(len(slots))
        for slot, row in zip(slots, rows, strict=True):
            slot.pending.results.append(slot.result(row, live))
            slot.pending.waiting -= 1
        for shadow in self._lineup.shadows:
            self._infer_beside(shadow, slots)

    def _infer_beside(self, shadow: Scorer, slots: Sequence[_Slot]) -> None:
        """Run a shadow model; whatever it does, only its own rows are missing."""
        try:
            with self._timed("shadow"):
                results = [
                    slot.result(row, shadow) for slot, row in zip(slots, self._predict(shadow, slots), strict=True)
                ]
        except Exception:
            self._metrics.shadow_lost.labels(str(shadow.model_id)).inc(len(slots))
            if shadow.model_id not in self._failing:
                self._failing.add(shadow.model_id)
                log.exception("shadow model %s fails: its rows are missing", shadow.predictor.model_hash)
            return
        self._failing.discard(shadow.model_id)
        self._metrics.stage_items.labels("shadow").inc(len(slots))
        for slot, row in zip(slots, results, strict=True):
            slot.pending.shadows.append(row)

    def _predict(self, scorer: Scorer, slots: Sequence[_Slot]) -> list[dict[str, Any] | None]:
        """Run a model; a batch that it has no memory for is halved, down to an item that gets no score."""
        names = slots[0].item.arrays
        try:
            output = scorer.predictor.predict(
                {name: np.stack([slot.item.arrays[name] for slot in slots]) for name in names}
            )
        except MemoryError as error:
            if len(slots) == 1:
                log.error("alert %s: the model has no memory for it: %s", slots[0].item.alert, error)
                return [None]
            log.warning("the model has no memory for %d items at once; trying them in halves: %s", len(slots), error)
            middle = len(slots) // 2
            return self._predict(scorer, slots[:middle]) + self._predict(scorer, slots[middle:])
        return [{name: values[index] for name, values in output.items()} for index in range(len(slots))]

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = perf_counter()
        try:
            yield
        finally:
            self._metrics.stage_seconds.labels(stage).inc(perf_counter() - started)


def _place(pending: Pending) -> tuple[int, int, int]:
    delivery = pending.delivery
    return delivery.assignment.feed_id, delivery.assignment.segment, delivery.offset


def _shapes(item: Item) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, array.shape) for name, array in sorted(item.arrays.items()))
