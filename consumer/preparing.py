"""Records to items, several at a time where the stream gains by it."""

from __future__ import annotations

from collections.abc import Sequence

from fulgor.consumer.stream import Item, PreparesTogether, Record, Stream
from fulgor.errors import MalformedError

__all__ = ["prepare_each", "prepared_together"]


def prepared_together(stream: Stream) -> int:
    """Return how many records a stream is best given at once: 1 where it takes them one by one."""
    return stream.prepared_together if isinstance(stream, PreparesTogether) else 1


def prepare_each(stream: Stream, records: Sequence[Record | MalformedError]) -> list[Sequence[Item] | Exception]:
    """Return the items of each record, or what kept it from having any.

    A record's failure is its own: where several at once fail, each is prepared alone.

    Parameters
    ----------
    stream : Stream
        The instrument.
    records : sequence
        As the decoder gave them; its errors are passed on.
    """
    sound = [record for record in records if not isinstance(record, MalformedError)]
    found = iter(_items(stream, sound))
    return [record if isinstance(record, MalformedError) else next(found) for record in records]


def _items(stream: Stream, records: Sequence[Record]) -> list[Sequence[Item] | Exception]:
    if isinstance(stream, PreparesTogether) and len(records) > 1:
        try:
            return list(stream.prepare_together(records))
        except Exception:  # noqa: BLE001 - which of them it was shows when each is alone
            return [_alone(stream, record) for record in records]
    return [_alone(stream, record) for record in records]


def _alone(stream: Stream, record: Record) -> Sequence[Item] | Exception:
    try:
        return stream.prepare(record)
    except Exception as error:  # noqa: BLE001 - the quarantine: whatever a record does to the preparation, it is kept
        return error
