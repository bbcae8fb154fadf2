"""Dead letters tried again: the same pipeline, the same coordinates, one transaction a message."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from fulgor.consumer.batches import FlushReason
from fulgor.consumer.committer import batch_of
from fulgor.consumer.consume import announcer
from fulgor.consumer.history import Recall
from fulgor.consumer.lineup import Lineup
from fulgor.consumer.messages import Assignment, Delivery, Partition
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.pipeline import Pipeline
from fulgor.consumer.settings import Settings
from fulgor.consumer.startup import Consumption, register
from fulgor.storage.database import Connection, connect, translated
from fulgor.storage.dead import DeadRecord, load_dead
from fulgor.storage.history import read_earlier
from fulgor.storage.rows import Batch
from fulgor.storage.writer import Writer

__all__ = ["Redriven", "redrive"]

log = logging.getLogger(__name__)
_PAGE = 50
_BATCH = 64


@dataclass(slots=True)
class Redriven:
    """What became of the letters: rows stored, items known already, letters that are dead still."""

    letters: int = 0
    stored: int = 0
    duplicates: int = 0
    dead: int = 0


def redrive(
    what: Consumption,
    ids: Sequence[int] | None = None,
    *,
    error_class: str | None = None,
    stage: str | None = None,
    limit: int | None = None,
    settings: Settings | None = None,
) -> Redriven:
    """Send dead letters through the pipeline again.

    A letter whose record becomes a row, or is found to be stored, is closed; one that fails again
    counts another attempt and keeps its newest reason.

    Parameters
    ----------
    what : Consumption
        Stream, model and database.
    ids : sequence of int, optional
        Only these letters.
    error_class, stage : str, optional
        Only letters of this class or stage.
    limit : int, optional
        Most letters to try.
    settings : Settings, optional
        Of them: where anomalies are to go. They are put into the outbox; the next consumer sends them.

    Raises
    ------
    FulgorError
        There is no dead letter of an id that was asked for.
    """
    done = Redriven()
    with translated(what.database), connect(what.database, application="fulgor redrive") as connection:
        lineup = register(connection, what)
        recall = partial(read_earlier, connection, what.stream.name)
        announce = announcer(settings, what.stream.name) if settings is not None else None
        writer = Writer(connection, what.stream.table, announce=announce)
        for letters in _pages(connection, what.stream.name, ids, error_class, stage, limit):
            for batch in _batches(what, lineup, recall, letters):
                outcome = writer.redrive(batch)
                done.stored += outcome.stored
                done.duplicates += outcome.duplicates
                done.dead += len(outcome.dead)
            done.letters += len(letters)
    return done


def _pages(
    connection: Connection,
    stream: str,
    ids: Sequence[int] | None,
    error_class: str | None,
    stage: str | None,
    limit: int | None,
) -> Iterator[list[DeadRecord]]:
    """Page through the letters that are dead now; a key is passed once, so that one that fails again ends."""
    after, left = 0, limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        page = load_dead(connection, ids, stream=stream, error_class=error_class, stage=stage, after=after, limit=size)
        if not page:
            return
        after = page[-1].dead_id
        left = None if left is None else left - len(page)
        yield [letter for letter in page if letter.status == "dead"]


def _batches(what: Consumption, lineup: Lineup, recall: Recall, letters: Iterable[DeadRecord]) -> Iterator[Batch]:
    """Run each message once, whatever the number of its dead records."""
    for _, same in groupby(letters, key=lambda letter: letter.at[:3]):
        pipeline = Pipeline(what.stream, lineup, batch_size=_BATCH, deadline_s=0.0, metrics=Metrics(), recall=recall)
        finished = [pipeline.accept(_delivery(next(iter(same)))), pipeline.cut(FlushReason.END)]
        messages = [pending for cut in finished if cut is not None for pending in cut.messages]
        yield replace(batch_of(messages), runs=[])


def _delivery(letter: DeadRecord) -> Delivery:
    at, message = letter.at, letter.message
    assignment = Assignment(Partition(letter.topic, letter.partition), at.feed_id, 0, at.segment, at.offset)
    return Delivery(
        assignment, at.offset, at.offset, message.value, message.key, message.headers, message.timestamp_ms
    )  # fmt: skip
