"""The outbox: anomalies on their way to a Kafka topic.

A row is written in the transaction that stores the alert and deleted once the broker has acknowledged
it, so a crash at any moment loses none; one between acknowledgement and deletion sends it twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from fulgor.storage.database import Connection
from fulgor.storage.rows import Result

__all__ = ["FIELDS", "Announcer", "OutboxRow", "locked_rows", "pending"]

FIELDS = (
    "stream", "alert", "object", "time", "class", "probabilities", "scores", "anomaly", "flags", "model",
    "model_name", "source",
)  # fmt: skip
"""Fields of a published anomaly; ``source`` holds cluster, topic, partition, offset, record and item."""

# A row whose coordinates are ours was stored by this transaction: a duplicate carries those of its first arrival.
# OFFSET 0 keeps the look-up a look-up: joined as a whole, it becomes a scan of every partition.
_FILL = """
INSERT INTO fulgor.alert_outbox (topic, alert, value)
SELECT %(topic)s, l.alert, jsonb_build_object(
    'stream', l.stream, 'alert', l.alert, 'object', l.object,
    'time', to_char(l.time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'class', l.class,
    'probabilities', (SELECT jsonb_object_agg(name, value) FROM unnest(m.classes, l.probabilities) AS x (name, value)),
    'scores', (SELECT jsonb_object_agg(name, value) FROM unnest(m.scores, l.scores) AS x (name, value)),
    'anomaly', l.anomaly, 'flags', l.flags, 'model', m.hash, 'model_name', m.name,
    'source', jsonb_build_object('cluster', f.cluster, 'topic', f.topic, 'partition', f.partition,
                                 'offset', l."offset", 'record', l.record, 'item', l.item))
FROM unnest(%(alerts)s::text[], %(times)s::timestamptz[], %(feeds)s::int[], %(segments)s::int[], %(offsets)s::bigint[],
            %(records)s::int[], %(items)s::int[], %(models)s::int[])
    WITH ORDINALITY AS w (alert, time, feed_id, segment, "offset", record, item, model_id, ordinal)
CROSS JOIN LATERAL (SELECT * FROM fulgor.latent a WHERE a.stream = %(stream)s AND a.model_id = w.model_id
                    AND a.alert = w.alert AND a.time = w.time OFFSET 0) l
JOIN fulgor.model m ON m.model_id = l.model_id
JOIN fulgor.feed f ON f.feed_id = l.feed_id
WHERE NOT l.shadow
  AND (l.feed_id, l.segment, l."offset", l.record, l.item) = (w.feed_id, w.segment, w."offset", w.record, w.item)
ORDER BY w.ordinal
"""
# Several processes share the work; what another one has in hand is skipped.
_LOCK = (
    "SELECT outbox_id, alert, value::text FROM fulgor.alert_outbox WHERE topic = %s"
    " ORDER BY outbox_id LIMIT %s FOR UPDATE SKIP LOCKED"
)
_COUNTED = 100_000


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An anomaly to publish: its id in the outbox, the alert's id, and the JSON text of the message."""

    outbox_id: int
    alert: str
    value: str


class Announcer:
    """Writes the anomalies of a batch into the outbox, within the transaction that stores them.

    Parameters
    ----------
    topic : str
        Where they are to go.
    above : float
        Least `anomaly` of an alert that is sent.
    stream : str
        Whose alerts.
    """

    def __init__(self, topic: str, above: float, stream: str) -> None:
        self._above = above
        self._fixed = {"topic": topic, "stream": stream}

    def __call__(self, connection: Connection, results: Sequence[Result]) -> None:
        """Write those of these results that are anomalous and were stored just now.

        Parameters
        ----------
        connection : Connection
            With the open transaction that stored them.
        results : sequence of Result
            All results of the batch: stored, duplicates and dead ones alike.
        """
        anomalous = [row for row in results if row.anomaly is not None and row.anomaly >= self._above]
        if not anomalous:
            return
        columns: dict[str, Any] = {
            "alerts": [row.alert for row in anomalous],
            "times": [row.time for row in anomalous],
            "feeds": [row.at.feed_id for row in anomalous],
            "segments": [row.at.segment for row in anomalous],
            "offsets": [row.at.offset for row in anomalous],
            "records": [row.at.record for row in anomalous],
            "items": [row.at.item for row in anomalous],
            "models": [row.model_id for row in anomalous],
        }
        connection.execute(_FILL, columns | self._fixed)


@contextmanager
def locked_rows(connection: Connection, topic: str, limit: int) -> Iterator[tuple[list[OutboxRow], list[int]]]:
    """Lock the oldest rows of a topic while the block runs; delete those whose ids it put into the second list.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    topic : str
        The topic.
    limit : int
        Most rows.

    Yields
    ------
    rows : list of OutboxRow
        In the order of storing.
    done : list of int
        To be filled by the caller.
    """
    with connection.transaction():
        found = cast("list[tuple[int, str, str]]", connection.execute(_LOCK, [topic, limit]).fetchall())
        done: list[int] = []
        yield [OutboxRow(*row) for row in found], done
        if done:
            connection.execute("DELETE FROM fulgor.alert_outbox WHERE outbox_id = ANY(%s)", [done])


def pending(connection: Connection, topic: str) -> int:
    """Return how many anomalies wait for a topic; at most 100,000 are counted."""
    row = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM fulgor.alert_outbox WHERE topic = %s LIMIT %s) AS x", [topic, _COUNTED]
    ).fetchone()
    return int(str(row[0])) if row else 0
