"""Time partitions: made before the first row of a day or month arrives, dropped whole.

A partition is created outside of the write transaction, under an advisory lock, and attached: that
takes a lock which does not stop readers or writers of other partitions. It would with a default
partition, which must be locked against everybody and searched; impossible times therefore lie in two
partitions with bounds of their own, ``early`` and ``late``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

from psycopg import sql

from fulgor.storage.database import Connection
from fulgor.storage.tables import StreamTable

__all__ = ["EARLIEST", "LATEST", "Partitions", "bounds", "tables_there"]

# Times outside are impossible for an alert: they share the partitions ``early`` and ``late``.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_LOCK = 0x46554C50


def bounds(time: datetime, partition_by: str) -> tuple[date, date] | None:
    """Return the first day and the day after the last of the partition that holds `time`.

    None for an impossible time, whose partition is always there.
    """
    if not EARLIEST <= time < LATEST:
        return None
    day = time.astimezone(UTC).date()
    if partition_by == "day":
        return day, day + timedelta(days=1)
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


def tables_there(connection: Connection, names: Sequence[str]) -> set[str]:
    """Return which of these tables there are.

    As it is now: ``to_regclass`` answers from a cache that may be older than a lock that was waited for.
    """
    found = connection.execute(
        "SELECT relname FROM pg_class WHERE relname = ANY(%s) AND relnamespace = 'fulgor'::regnamespace", [[*names]]
    ).fetchall()
    return {str(name) for (name,) in found}


class Partitions:
    """Remembers which partitions of a stream exist and makes the missing ones.

    Parameters
    ----------
    connection : Connection
        The writer's connection, in autocommit mode.
    table : StreamTable
        The stream.
    """

    def __init__(self, connection: Connection, table: StreamTable) -> None:
        self._connection = connection
        self._stream = table.stream
        row = connection.execute("SELECT partition_by FROM fulgor.stream WHERE name = %s", [table.stream]).fetchone()
        self.partition_by = str(row[0]) if row else "day"
        self._known: set[date] = set()

    def ensure(self, times: Iterable[datetime]) -> None:
        """Make the partitions that rows of these times need; call outside of a transaction."""
        wanted = {found for time in times if (found := bounds(time, self.partition_by)) is not None}
        missing = sorted((first, after) for first, after in wanted if first not in self._known)
        if missing:
            self._create(missing)
            self._known.update(first for first, _ in missing)

    def forget(self) -> None:
        """Look again before the next rows: somebody dropped a partition."""
        self._known.clear()

    def _create(self, missing: Sequence[tuple[date, date]]) -> None:
        # A transaction for each table: holding the locks of one while waiting for the other's invites a deadlock.
        for parent in (f"{self._stream}_alert", f"latent_{self._stream}"):
            with self._connection.transaction():
                self._connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
                for first, after in missing:
                    self._attach(parent, first, after)

    def _attach(self, parent: str, first: date, after: date) -> None:
        suffix = f"{first:%Y%m%d}" if self.partition_by == "day" else f"{first:%Y%m}"
        name = f"{parent}_{suffix}"
        if tables_there(self._connection, [name]):
            return
        child, whole = sql.Identifier("fulgor", name), sql.Identifier("fulgor", parent)
        self._connection.execute(
            sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)").format(child, whole)
        )
        self._connection.execute(
            sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                whole, child, sql.Literal(f"{first} 00:00+00"), sql.Literal(f"{after} 00:00+00")
            )
        )
