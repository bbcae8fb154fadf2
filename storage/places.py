"""Where the messages behind an alert's rows lie."""

from __future__ import annotations

from typing import Any, NamedTuple

from fulgor.errors import FulgorError
from fulgor.storage.database import Connection

__all__ = ["StoredPlace", "stored_places"]


class StoredPlace(NamedTuple):
    """Where a row's message lies, by the columns of its feed and its offset.

    `cluster` is the broker's cluster id, ``archive`` for files; `topic` then is the archive's path, `topic_id` its
    content, `offset` its index.
    """

    cluster: str
    topic: str
    topic_id: str
    partition: int
    offset: int


def stored_places(connection: Connection, stream: str, alert: str) -> list[StoredPlace]:
    """Return the places of an alert's messages, the one stored last first: each model may have read another copy.

    Raises
    ------
    FulgorError
        No such alert is stored.
    """
    rows: list[tuple[Any, ...]] = connection.execute(
        'SELECT f.cluster, f.topic, f.topic_id, f.partition, l."offset" FROM fulgor.latent l'
        " JOIN fulgor.feed f USING (feed_id) WHERE l.stream = %s AND l.alert = %s ORDER BY l.stored_at DESC",
        [stream, alert],
    ).fetchall()
    if not rows:
        raise FulgorError(f"stream '{stream}' has no alert '{alert}' in the database")
    return list(dict.fromkeys(StoredPlace(*row) for row in rows))
