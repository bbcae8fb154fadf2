"""The query behind the ledger's check: sets and windows, whatever the number of rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg import sql
from psycopg.rows import dict_row

from fulgor.storage.database import Connection

__all__ = ["Finding", "find_damage"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not add up.

    Parameters
    ----------
    group, topic : str
        Of the feed; '' if the feed itself is missing.
    partition, segment : int
        Of the feed; -1 if the feed itself is missing.
    offset : int
        The first offset concerned.
    kind : str
        ``missing``, ``incomplete``, ``doubled``, ``inconsistent``, ``overlap``, ``before``, ``beyond``,
        ``no feed``, ``no segment``, ``no model``, ``no alert row``, ``shadow alone``.
    detail : str
        In words.
    """

    group: str
    topic: str
    partition: int
    segment: int
    offset: int
    kind: str
    detail: str

    def __str__(self) -> str:
        place = f"topic {self.topic} partition {self.partition}" if self.topic else "a feed that does not exist"
        if self.segment > 0:
            place += f" segment {self.segment}"
        group = f" (group {self.group})" if self.group else ""
        return f"{place}{group} offset {self.offset}: {self.kind}: {self.detail}"


# A message without records stands for one item, as does a record without items.
_ITEMS = """
    SELECT feed_id, segment, "offset", record, item, records, items, 'stored' AS source, alert FROM fulgor.latent
      WHERE NOT shadow
    UNION ALL
    SELECT feed_id, segment, "offset", record, item, records, items, 'duplicate', alert FROM fulgor.duplicate
    UNION ALL
    SELECT feed_id, segment, "offset", record, item, records, items, 'dead letter', dead_id::text
      FROM fulgor.dead_letter WHERE status = 'dead'
    UNION ALL
    SELECT feed_id, segment, "offset", greatest(record, 0), 0, CASE WHEN record < 0 THEN 1 ELSE records END, 1,
           'empty', NULL FROM fulgor.empty
    UNION ALL
    SELECT feed_id, segment, "offset", record, item, records, items, 'sealed', NULL FROM fulgor.sealed_item
"""

# A row that stands where its number in the order says, for all of them, is a set without gaps or doubles.
_DAMAGE = sql.SQL(
    """
WITH account AS ({items}),
numbered AS (
    SELECT *, row_number() OVER (PARTITION BY feed_id, segment, "offset", record ORDER BY item) - 1 AS place
    FROM account
),
record AS (
    SELECT feed_id, segment, "offset", record, min(records) AS fewest, max(records) AS most,
           bool_and(item = place) AND count(*) = min(items) AND count(*) = max(items) AS whole
    FROM numbered GROUP BY feed_id, segment, "offset", record
),
ordered AS (
    SELECT *, row_number() OVER (PARTITION BY feed_id, segment, "offset" ORDER BY record) - 1 AS place FROM record
),
message AS (
    SELECT feed_id, segment, "offset",
           bool_and(whole AND record = place) AND count(*) = min(fewest) AND count(*) = max(most) AS whole
    FROM ordered GROUP BY feed_id, segment, "offset"
),
stretch AS (
    SELECT feed_id, segment, "offset" AS first, "offset" + 1 AS next, whole FROM message
    UNION ALL SELECT feed_id, segment, first_offset, next_offset, true FROM fulgor.skipped
    UNION ALL SELECT feed_id, segment, first_offset, next_offset, true FROM fulgor.sealed
),
reached AS (
    SELECT *, max(next) OVER (PARTITION BY feed_id, segment ORDER BY first, next
                              ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
    FROM stretch
),
placed AS (
    SELECT r.*, f.feed_id IS NULL AS no_feed, s.feed_id IS NULL AS no_segment, s.first_offset,
           CASE WHEN s.segment = f.segment THEN f.next_offset ELSE s.end_offset END AS stop,
           greatest(coalesce(r.reached, s.first_offset), s.first_offset) AS expected
    FROM reached r
    LEFT JOIN fulgor.feed f ON f.feed_id = r.feed_id
    LEFT JOIN fulgor.segment s ON s.feed_id = r.feed_id AND s.segment = r.segment
),
last AS (
    SELECT feed_id, segment, max(next) AS next FROM stretch GROUP BY feed_id, segment
),
finish AS (
    SELECT f.feed_id, f.segment, f.next_offset AS stop, s.feed_id IS NULL AS no_segment,
           greatest(s.first_offset, l.next) AS reached
    FROM fulgor.feed f
    LEFT JOIN fulgor.segment s ON s.feed_id = f.feed_id AND s.segment = f.segment
    LEFT JOIN last l ON l.feed_id = f.feed_id AND l.segment = f.segment
    WHERE f.next_offset IS NOT NULL
    UNION ALL
    SELECT s.feed_id, s.segment, s.end_offset, false, greatest(s.first_offset, l.next)
    FROM fulgor.segment s
    JOIN fulgor.feed f ON f.feed_id = s.feed_id AND f.segment <> s.segment
    LEFT JOIN last l ON l.feed_id = s.feed_id AND l.segment = s.segment
    WHERE s.end_offset IS NOT NULL
),
damage (feed_id, segment, "offset", next, kind) AS (
    SELECT feed_id, segment, min(first), max(next), CASE WHEN no_feed THEN 'no feed' ELSE 'no segment' END
      FROM placed WHERE no_feed OR no_segment GROUP BY feed_id, segment, no_feed
    UNION ALL SELECT feed_id, segment, stop, stop, 'no segment' FROM finish WHERE no_segment
    UNION ALL SELECT feed_id, segment, first, next, 'message' FROM placed WHERE NOT whole AND NOT no_segment
    UNION ALL SELECT feed_id, segment, first, next, 'before' FROM placed WHERE first < first_offset
    UNION ALL SELECT feed_id, segment, greatest(first, stop), next, 'beyond' FROM placed WHERE next > stop
    UNION ALL SELECT feed_id, segment, first, least(reached, next), 'overlap' FROM placed WHERE first < reached
    UNION ALL SELECT feed_id, segment, expected, least(first, stop), 'missing'
      FROM placed WHERE expected < least(first, stop)
    UNION ALL SELECT feed_id, segment, reached, stop, 'missing' FROM finish WHERE reached < stop
)
SELECT d.feed_id, d.segment, d."offset", d.next, d.kind, coalesce(f.group_name, '') AS "group",
       coalesce(f.topic, '') AS topic, coalesce(f.partition, -1) AS partition
FROM damage d LEFT JOIN fulgor.feed f USING (feed_id)
WHERE (%(stream)s::text IS NULL OR f.stream = %(stream)s OR f.feed_id IS NULL)
  AND (%(group)s::text IS NULL OR f.group_name = %(group)s OR f.feed_id IS NULL)
ORDER BY f.group_name NULLS LAST, f.cluster, f.topic, f.topic_id, f.partition, d.feed_id, d.segment, d."offset", d.kind
LIMIT %(limit)s
"""
).format(items=sql.SQL(_ITEMS))

_ROWS = sql.SQL(
    """
SELECT account.* FROM ({items}) account
JOIN unnest(%s::int[], %s::int[], %s::bigint[]) AS wanted (feed_id, segment, "offset")
  USING (feed_id, segment, "offset")
ORDER BY record, item, source
"""
).format(items=sql.SQL(_ITEMS))

Place = tuple[int, int, int]


class _Row(NamedTuple):
    record: int
    item: int
    records: int
    items: int
    source: str
    alert: str | None

    def __str__(self) -> str:
        return f"{self.source} {self.alert}" if self.alert else self.source


def find_damage(connection: Connection, stream: str | None, group: str | None, limit: int) -> list[Finding]:
    """Return what does not add up in feeds of a stream and a group, the first partition and offset first."""
    parameters = {"stream": stream, "group": group, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_DAMAGE, parameters).fetchall()
    rows = _rows_of(connection, [row for row in found if row["kind"] in {"message", "overlap"}])
    return [_finding(row, rows[row["feed_id"], row["segment"], row["offset"]]) for row in found]


def _rows_of(connection: Connection, places: Sequence[dict[str, Any]]) -> dict[Place, list[_Row]]:
    wanted = {(row["feed_id"], row["segment"], row["offset"]) for row in places}
    rows: dict[Place, list[_Row]] = defaultdict(list)
    if wanted:
        columns = [list(column) for column in zip(*sorted(wanted), strict=True)]
        with connection.cursor(row_factory=dict_row) as cursor:
            for row in cursor.execute(_ROWS, columns):
                place = (row["feed_id"], row["segment"], row["offset"])
                rows[place].append(_Row(*(row[name] for name in _Row._fields)))
    return rows


def _finding(row: dict[str, Any], rows: Sequence[_Row]) -> Finding:
    kind, first, last = row["kind"], row["offset"], row["next"] - 1
    span = f"offset {first}" if last <= first else f"offsets {first} to {last}"
    if kind == "message":
        kind, detail = _explain(rows)
    else:
        detail = {
            "no feed": f"rows of {span} name feed {row['feed_id']}, which does not exist",
            "no segment": f"feed {row['feed_id']} has no segment {row['segment']}",
            "before": f"{span} accounted for, but the segment begins later",
            "beyond": f"{span} accounted for, but the stored next offset lies before",
            "overlap": f"{span} skipped or sealed, and accounted for"
            + (f" ({', '.join(map(str, rows))})" if rows else ", or skipped twice"),
            "missing": f"{span} neither accounted for nor skipped",
        }[kind]
    return Finding(row["group"], row["topic"], row["partition"], row["segment"], first, kind, detail)


def _explain(rows: Sequence[_Row]) -> tuple[str, str]:
    """Say in which way the rows of one message are not each of its items once."""
    cells = Counter((row.record, row.item) for row in rows)
    doubled = next((cell for cell, count in cells.items() if count > 1), None)
    if doubled is not None:
        who = " and ".join(str(row) for row in rows if (row.record, row.item) == doubled)
        return "doubled", f"record {doubled[0]} item {doubled[1]} is accounted for {cells[doubled]} times: {who}"
    said = {row.records for row in rows}
    if len(said) > 1:
        return "inconsistent", f"its rows say that the message has {_one_of(said)} records"
    records = said.pop()
    for record in range(records):
        mine = [row for row in rows if row.record == record]
        if not mine:
            return "incomplete", f"record {record} of {records} is not accounted for"
        said = {row.items for row in mine}
        if len(said) > 1:
            return "inconsistent", f"the rows of record {record} say that it has {_one_of(said)} items"
        items = said.pop()
        lost = set(range(items)) - {row.item for row in mine}
        if lost:
            return "incomplete", f"record {record}: item {min(lost)} of {items} is not accounted for"
        if len(mine) > items:
            return "inconsistent", f"record {record} has {items} items, item {max(row.item for row in mine)} is beyond"
    return "inconsistent", f"the message has {records} records, record {max(row.record for row in rows)} is beyond"


def _one_of(values: Iterable[int]) -> str:
    return " or ".join(map(str, sorted(values)))
