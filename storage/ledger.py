"""The ledger: what became of every message, recounted from rows.

Stored rows, duplicates, dead letters and empty messages carry the coordinates of what they account
for; skipped ranges carry theirs. The ledger closes when, from each segment's first offset to the
feed's next one (or to where a rewind closed it), every item of every record of every message is
there exactly once. Rows of shadow models account for nothing: each must stand beside a row that
does, and the check says where one does not. Nights that were dropped have left the stretches of
offsets that they accounted for, with counts: these close the ledger and can no longer be recounted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import class_row

from fulgor.storage.audit import Finding, find_damage
from fulgor.storage.database import Connection
from fulgor.storage.orphans import find_orphans, find_warnings

__all__ = ["Account", "Finding", "Report", "check", "read_accounts"]


@dataclass(frozen=True, slots=True)
class Account:
    """One segment of one feed, counted.

    Parameters
    ----------
    feed_id, segment : int
        Its key; a rewind opens a new segment.
    stream, group, cluster, topic, topic_id, partition
        What it was read from, by whom.
    open : bool
        The feed goes on in this segment.
    first_offset : int
        Where it began.
    next_offset : int or None
        The next offset to read; where a closed segment ended, None if that was not kept.
    stored, duplicates, dead, empty : int
        Items by what became of them; ``empty`` counts messages and records without items.
    skipped : int
        Offsets that no message was read from.
    sealed : int
        Items whose rows were dropped with their night.
    shadow : int
        Rows that other models wrote beside the stored ones: they account for nothing.
    """

    feed_id: int
    segment: int
    stream: str
    group: str
    cluster: str
    topic: str
    topic_id: str
    partition: int
    open: bool
    first_offset: int
    next_offset: int | None
    stored: int
    duplicates: int
    dead: int
    empty: int
    skipped: int
    sealed: int
    shadow: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Parameters
    ----------
    accounts : sequence of Account
        All segments, in the order of group, topic and partition.
    findings : sequence of Finding
        What does not add up, the first partition and offset first; at most the asked-for number.
    warnings : sequence of str
        What adds up and is odd all the same.
    """

    accounts: Sequence[Account]
    findings: Sequence[Finding]
    warnings: Sequence[str]

    @property
    def closed(self) -> bool:
        """Whether everything adds up."""
        return not self.findings


def read_accounts(connection: Connection, *, stream: str | None = None, group: str | None = None) -> list[Account]:
    """Count the rows of every segment, without checking that they add up.

    Parameters
    ----------
    connection : Connection
        To the database.
    stream, group : str, optional
        Only feeds of these.
    """
    with connection.cursor(row_factory=class_row(Account)) as cursor:
        return cursor.execute(
            'SELECT feed_id, segment, stream, group_name AS "group", cluster, topic, topic_id, partition, open,'
            " first_offset, next_offset, stored, duplicates, dead, empty, skipped, sealed, shadow FROM fulgor.ledger"
            " WHERE (%(stream)s::text IS NULL OR stream = %(stream)s)"
            " AND (%(group)s::text IS NULL OR group_name = %(group)s)"
            " ORDER BY group_name, cluster, topic, topic_id, partition, segment",
            {"stream": stream, "group": group},
        ).fetchall()


def check(connection: Connection, *, stream: str | None = None, group: str | None = None, limit: int = 100) -> Report:
    """Recount every account from rows and find what does not add up.

    It sees one moment of the database, so that consumers may go on meanwhile.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    stream, group : str, optional
        Only feeds of these.
    limit : int
        Most findings to return.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # Before the moment that is seen begins: a night dropped in between would be neither there nor sealed.
        connection.execute("LOCK TABLE fulgor.latent IN ACCESS SHARE MODE")
        connection.execute("SET LOCAL work_mem = '64MB'; SET LOCAL enable_partitionwise_join = on")
        damage = find_damage(connection, stream, group, limit)
        orphans = find_orphans(connection, stream, group, limit)
        return Report(
            accounts=read_accounts(connection, stream=stream, group=group),
            findings=(damage + orphans)[:limit],
            warnings=find_warnings(connection, stream, limit),
        )
