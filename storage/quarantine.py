"""Dead letters on their way in and out, within the writer's transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from psycopg.types.json import Jsonb

from fulgor.storage.database import Connection
from fulgor.storage.rows import Batch, Coordinates, DeadLetter, RawMessage

__all__ = ["answering", "bury", "close", "lock_open"]

REASON_LENGTH = 4000  # a reason is no place for a megabyte

_MESSAGE = (
    'INSERT INTO fulgor.dead_message (feed_id, segment, "offset", value, key, headers, timestamp_ms)'
    " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
# A redriven record that fails again keeps its row and counts the attempt.
_LETTER = (
    'INSERT INTO fulgor.dead_letter (stream, feed_id, segment, "offset", record, item, records, items,'
    " stage, error_class, reason) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
    ' ON CONFLICT (feed_id, segment, "offset", record, item) DO UPDATE SET stage = excluded.stage,'
    " error_class = excluded.error_class, reason = excluded.reason,"
    " records = excluded.records, items = excluded.items, attempts = dead_letter.attempts + 1,"
    " last_tried = now(), status = 'dead'"
)
_LOCK = (
    'SELECT feed_id, segment, "offset", record, item, records, items FROM fulgor.dead_letter'
    ' JOIN unnest(%s::int[], %s::int[], %s::bigint[]) AS wanted (feed_id, segment, "offset")'
    " USING (feed_id, segment, \"offset\") WHERE status = 'dead' ORDER BY dead_id FOR UPDATE OF dead_letter"
)
_CLOSE = (
    "UPDATE fulgor.dead_letter SET status = 'redriven', attempts = attempts + 1, last_tried = now()"
    ' WHERE feed_id = %s AND segment = %s AND "offset" = %s AND record = %s AND item = %s'
)


def bury(
    connection: Connection,
    stream: str,
    letters: Sequence[DeadLetter],
    messages: Mapping[tuple[int, int], RawMessage],
) -> None:
    """Insert dead letters, and the bytes of each message once.

    Parameters
    ----------
    connection : Connection
        With an open transaction.
    stream : str
        Whose letters they are.
    letters : sequence of DeadLetter
        Known coordinates count another attempt.
    messages : mapping of (feed_id, offset) to RawMessage
        Must hold the message of every letter.
    """
    if not letters:
        return
    kept = {(x.at.feed_id, x.at.segment, x.at.offset): messages[x.at.feed_id, x.at.offset] for x in letters}
    with connection.cursor() as cursor:
        cursor.executemany(_MESSAGE, [_message_values(where, message) for where, message in kept.items()])
        cursor.executemany(
            _LETTER, [(stream, *x.at, x.stage, x.error_class, _text(x.reason)[:REASON_LENGTH]) for x in letters]
        )


def lock_open(connection: Connection, batch: Batch) -> set[Coordinates]:
    """Lock the open dead letters of a batch's messages until the transaction ends, and return where they lie."""
    places = {row.at[:3] for row in batch.results} | {row.at[:3] for row in batch.dead}
    messages = sorted(places | {row[:3] for row in batch.empty})
    rows = connection.execute(_LOCK, [list(column) for column in zip(*messages, strict=True)] or [[], [], []])
    return {Coordinates(*(int(str(value)) for value in row)) for row in rows}


def close(connection: Connection, done: Collection[tuple[int, int, int, int, int]]) -> None:
    """Note that these (feed, segment, offset, record, item) are rows now."""
    with connection.cursor() as cursor:
        cursor.executemany(_CLOSE, sorted(done))


def _message_values(where: tuple[int, int, int], message: RawMessage) -> tuple[object, ...]:
    headers = [[_text(name), None if value is None else value.hex()] for name, value in message.headers]
    return (*where, message.value, message.key, Jsonb(headers), message.timestamp_ms)


def _text(text: str) -> str:
    """Return what Postgres can hold: neither NUL nor half a surrogate pair, which broken messages bring along."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def answering(batch: Batch, letters: Iterable[Coordinates]) -> Batch:
    """Return what of a batch takes the place of these dead letters; the rest was accounted for already.

    A letter for a whole message stands at record 0 of 1, item 0 of 1, one for a whole record at
    item 0 of 1, for what the message or the record holds was not known.
    """
    cells, records, messages = set(), set(), set()
    for at in letters:
        cells.add(at[:5])
        if (at.item, at.items) == (0, 1):
            records.add(at[:4])
            if (at.record, at.records) == (0, 1):
                messages.add(at[:3])

    def wanted(at: tuple[int, ...]) -> bool:
        return at[:5] in cells or at[:4] in records or at[:3] in messages

    return replace(
        batch,
        results=[row for row in batch.results if wanted(row.at)],
        dead=[row for row in batch.dead if wanted(row.at)],
        empty=[row for row in batch.empty if wanted(row[:4])],
    )
