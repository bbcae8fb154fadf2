"""Rows whose history came late, computed again: the pipeline once more, with what is stored by now.

A stamp latent depends on its own alert's stamps alone, so a revised row makes no other row late: one
pass settles everything that was stored before it began. Nothing is published again, and the ledger
sees nothing: a row keeps its coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from fulgor.consumer.batches import FlushReason
from fulgor.consumer.lineup import Lineup, Scorer
from fulgor.consumer.messages import Assignment, Delivery, Partition
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.pending import Pending
from fulgor.consumer.pipeline import Pipeline
from fulgor.consumer.stream import Stream
from fulgor.replay.lookup import MessageFinder
from fulgor.storage.database import Connection
from fulgor.storage.history import read_earlier
from fulgor.storage.places import StoredPlace
from fulgor.storage.rescores import Waiting, mark_gone, read_waiting, revise
from fulgor.storage.rows import Result

__all__ = ["Settled", "settle"]

_PAGE = 64  # messages may have megabytes
_FETCH_S = 60.0


@dataclass(slots=True)
class Settled:
    """What became of waiting rows: computed again, never to be, or waiting for a broker that was not to be had."""

    revised: int = 0
    gone: int = 0
    left: int = 0


def settle(connection: Connection, stream: Stream, scorer: Scorer, finder: MessageFinder) -> Settled:
    """Compute a model's waiting rows again, and revise them in place.

    Each page of rows is a transaction: an interrupted run goes on where it was, and a second one finds
    nothing to do. The same stored history gives the same row.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    stream : Stream
        The instrument.
    scorer : Scorer
        The model.
    finder : MessageFinder
        Where the messages behind the rows are looked for.

    Raises
    ------
    BrokerError
        The broker refuses us, or did not answer in time; the rows go on waiting.
    """
    settled, last = Settled(), None
    recall = partial(read_earlier, connection, stream.name)
    pipeline = Pipeline(
        stream, Lineup(scorer), batch_size=_PAGE, deadline_s=0.0, metrics=Metrics(), recall=recall
    )  # fmt: skip
    while page := read_waiting(connection, stream.name, scorer.model_id, _PAGE, last):
        last = page[-1]
        values = finder.find(map(_place, page), timeout_s=_FETCH_S)
        rows, reasons = _computed(pipeline, page, values)
        # A row that there was no memory for has no scores at all: it waits for a better moment.
        done = [row for row in rows.values() if row.scores is not None]
        gone = [
            (row, reasons.get(row.message) or finder.why_not(_place(row)))
            for row in page
            if row.key not in rows and (row.message in reasons or finder.reaches(_place(row)))
        ]
        revise(connection, stream.name, done)
        mark_gone(connection, stream.name, scorer.model_id, gone)
        settled.revised += len(done)
        settled.gone += len(gone)
        settled.left += len(page) - len(done) - len(gone)
    return settled


def _place(row: Waiting) -> StoredPlace:
    return StoredPlace(row.cluster, row.topic, row.topic_id, row.partition, row.offset)


def _computed(
    pipeline: Pipeline, page: Sequence[Waiting], values: Mapping[StoredPlace, bytes]
) -> tuple[dict[tuple[str, datetime], Result], dict[tuple[int, int, int], str]]:
    """Return a page's new rows by their keys, and why the messages that were found may give none of them."""
    wanted = {row.key for row in page}
    rows: dict[tuple[str, datetime], Result] = {}
    reasons: dict[tuple[int, int, int], str] = {}
    for pending in _through(pipeline, page, values):
        rows |= {row.key: row for row in pending.results if row.key in wanted and row.history is not None}
        told = "; ".join(dict.fromkeys(letter.reason for letter in pending.dead))
        reasons[_message(pending.delivery)] = told or "another alert lies where this one was read"
    return rows, reasons


def _through(pipeline: Pipeline, page: Sequence[Waiting], values: Mapping[StoredPlace, bytes]) -> Iterator[Pending]:
    messages = {row.message: row for row in page if _place(row) in values}
    for row in messages.values():
        cut = pipeline.accept(_delivery(row, values[_place(row)]))
        yield from cut.messages if cut is not None else ()
    cut = pipeline.cut(FlushReason.END)
    yield from cut.messages if cut is not None else ()


def _delivery(row: Waiting, value: bytes) -> Delivery:
    assignment = Assignment(Partition(row.topic, row.partition), row.feed_id, 0, row.segment, row.offset)
    return Delivery(assignment, row.offset, row.offset, value)


def _message(delivery: Delivery) -> tuple[int, int, int]:
    return delivery.assignment.feed_id, delivery.assignment.segment, delivery.offset
