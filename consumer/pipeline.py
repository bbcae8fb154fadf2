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
from functools import cache
from time import monotonic, perf_counter

from fulgor.consumer.batches import Buckets, FlushReason
from fulgor.consumer.history import Past, Recall, history_shape, pasts
from fulgor.consumer.inference import predict
from fulgor.consumer.lineup import Lineup, Scorer
from fulgor.consumer.messages import Assignment, Delivery
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.pending import Cut, Decoded, Pending, Slot
from fulgor.consumer.preparing import prepare_each, prepared_together
from fulgor.consumer.results import dead_letter, result
from fulgor.consumer.stream import Item, Record, Stream
from fulgor.errors import BrokerError, MalformedError
from fulgor.storage.rows import Coordinates, Result

__all__ = ["Pipeline"]

log = logging.getLogger(__name__)


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
    recall : callable, optional
        Finds what is stored of earlier items, for models that take it; without it none is known.
    """

    def __init__(
        self, stream: Stream, lineup: Lineup, *,
        batch_size: int, deadline_s: float, metrics: Metrics, recall: Recall = lambda *_: {},
    ) -> None:  # fmt: skip
        self._stream = stream
        self._lineup = lineup
        self._recall = recall
        self._offers: deque[Lineup] = deque()
        self._failing: set[int] = set()
        self._deadline_s = deadline_s
        self._metrics = metrics
        # Looked up for each message, a label would take longer than what it counts.
        self._seconds, self._items = cache(metrics.stage_seconds.labels), cache(metrics.stage_items.labels)
        self._buckets: Buckets[Slot] = Buckets(batch_size)
        self._pending: list[Pending] = []
        self._decoded: list[Decoded] = []
        self._together = prepared_together(stream)

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
        flushed = self._fill(self._slots(pending, records))
        too_many = len(self._pending) >= 2 * self._buckets.size
        if (flushed and not len(self._buckets) and not self._decoded) or too_many or self._offers:
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

    def _fill(self, slots: Iterator[Slot]) -> bool:
        """Put items into their buckets, run those that are full, and tell whether there were any."""
        flushed = False
        for slot in slots:
            full = self._buckets.add(slot.shapes, slot)
            if full is not None:
                self._infer(full, FlushReason.FULL)
                flushed = True
            elif len(self._buckets) >= 2 * self._buckets.size:  # many shapes, none of which fills a batch
                self._drain(FlushReason.CUT)
        return flushed

    def _flush(self, reason: FlushReason) -> None:
        self._fill(self._prepared())
        self._drain(reason)

    def _drain(self, reason: FlushReason) -> None:
        for bucket in self._buckets.drain():
            self._infer(bucket, reason)

    def forget(self, assignment: Assignment) -> int:
        """Drop the pending work of a lost assignment, and return how many bytes of messages that frees."""
        slots = [slot for bucket in self._buckets.drain() for slot in bucket]
        freed = sum(pending.delivery.size for pending in self._pending if pending.delivery.assignment is assignment)
        self._pending = [pending for pending in self._pending if pending.delivery.assignment is not assignment]
        self._decoded = [one for one in self._decoded if one.pending.delivery.assignment is not assignment]
        for slot in slots:
            if slot.pending.delivery.assignment is not assignment:
                self._buckets.add(slot.shapes, slot)
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
            pending.dead.append(dead_letter(Coordinates(*pending.place, 0, 0, 1, 1), "decode", error))
            return []
        self._items("decode").inc(len(records))
        if not records:
            pending.empty.append((-1, 0))
        return records

    def _slots(self, pending: Pending, records: Sequence[Record | MalformedError]) -> Iterator[Slot]:
        """Yield what is ready to be scored; few at a time, for the arrays of thousands of records would not fit."""
        for index, record in enumerate(records):
            self._decoded.append(Decoded(pending, (*pending.place, index), len(records), record))
            if len(self._decoded) >= self._together:
                yield from self._prepared()

    def _prepared(self) -> Iterator[Slot]:
        decoded, self._decoded = self._decoded, []
        with self._timed("prepare"):
            found = prepare_each(self._stream, [one.record for one in decoded])
        for one, items in zip(decoded, found, strict=True):
            if isinstance(items, Exception):
                one.pending.dead.append(dead_letter(Coordinates(*one.where, 0, one.records, 1), "prepare", items))
            else:
                yield from self._scorable(one, items)

    def _decode(self, value: bytes | None) -> Sequence[Record | MalformedError]:
        if value is None:
            raise MalformedError("the message has no value (a tombstone)", stage="framing")
        return self._stream.decode(value)

    def _scorable(self, one: Decoded, items: Sequence[Item]) -> Iterator[Slot]:
        pending = one.pending
        self._items("prepare").inc(len(items))
        if not items:
            pending.empty.append((one.where[3], one.records))
        for index, item in enumerate(items):
            at = Coordinates(*one.where, index, one.records, len(items))
            if item.unscorable is None:
                pending.waiting += 1
                yield Slot(pending, at, item)
            else:
                pending.results.append(result(item, at, pending.delivery, None, self._lineup.live))
                pending.shadows += [result(item, at, pending.delivery, None, one) for one in self._lineup.shadows]

    def _infer(self, slots: Sequence[Slot], reason: FlushReason) -> None:
        self._metrics.flushes.labels(reason.value).inc()
        self._metrics.fill.observe(len(slots) / self._buckets.size)
        for slot, row in zip(slots, self._scored(slots, self._lineup.live, "infer"), strict=True):
            slot.pending.results.append(row)
            slot.pending.waiting -= 1
        for shadow in self._lineup.shadows:
            self._infer_beside(shadow, slots)

    def _infer_beside(self, shadow: Scorer, slots: Sequence[Slot]) -> None:
        """Run a shadow model; whatever it does, only its own rows are missing."""
        try:
            results = self._scored(slots, shadow, "shadow")
        except Exception:
            self._metrics.shadow_lost.labels(str(shadow.model_id)).inc(len(slots))
            if shadow.model_id not in self._failing:
                self._failing.add(shadow.model_id)
                log.exception("shadow model %s fails: its rows are missing", shadow.predictor.model_hash)
            return
        self._failing.discard(shadow.model_id)
        for slot, row in zip(slots, results, strict=True):
            slot.pending.shadows.append(row)

    def _scored(self, slots: Sequence[Slot], scorer: Scorer, stage: str) -> list[Result]:
        items = [slot.item for slot in slots]
        known = self._pasts(items, scorer)
        with self._timed(stage):
            rows = predict(scorer.predictor, items, known)
        self._items(stage).inc(len(slots))
        each: Sequence[Past | None] = known or [None] * len(slots)
        return [slot.result(row, scorer, past) for slot, row, past in zip(slots, rows, each, strict=True)]

    def _pasts(self, items: Sequence[Item], scorer: Scorer) -> list[Past] | None:
        shape = history_shape(scorer.predictor)
        if shape is None:
            return None
        with self._timed("recall"):
            return pasts(self._stream, items, scorer.model_id, shape, self._recall)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = perf_counter()
        try:
            yield
        finally:
            self._seconds(stage).inc(perf_counter() - started)
