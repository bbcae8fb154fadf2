"""Pulses at the seams of contiguous LEELA chunks, found again with both sides known.

Live, each chunk is filtered alone, and a pulse next to an edge is flagged. Where the neighbour is
stored, this job filters across the seam and revises the rows beside it: place, sign, strength, window.
A pulse that both chunks show stays in one row; an artefact of the edge is withdrawn (``revision`` 2).
What a seam's rows become depends on the two chunks alone, so the order of arrival leaves no trace.
Latents and scores stay as they were found live.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import sql
from psycopg.rows import dict_row

from fulgor.preprocessing.leela import DEFAULT, LeelaFlag, Pulse
from fulgor.preprocessing.leela.filters import band_pass, with_edges
from fulgor.preprocessing.leela.pulses import describe, find_peaks
from fulgor.preprocessing.leela.windows import take_windows
from fulgor.storage.database import Connection
from fulgor.storage.migrate import migrate_part
from fulgor.streams.leela import pulse_columns, unpack_samples

__all__ = ["join_chunks"]

REACH = 4 * DEFAULT.guard
"""Samples of either chunk that are filtered across the seam."""

_REVISED, _WITHDRAWN = 1, 2
# Chunks touch if one begins where the other ends, to half a sample.
_TOUCH = 0.5
_SEAMS_A_ROUND = 10_000

# Still to be joined if its neighbour comes; the same words in the index and in the query, or it is not used.
_OPEN = sql.SQL("item > 0 AND revision = 0 AND pulse_flags & {} <> 0").format(sql.Literal(int(LeelaFlag.NEAR_EDGE)))
_VERSIONS = (
    sql.SQL("""
    CREATE INDEX leela_open_edge ON fulgor.leela_alert (stored_at) WHERE {open};
    CREATE TABLE fulgor.leela_join (one bool PRIMARY KEY DEFAULT true CHECK (one), joined_at timestamptz NOT NULL)
""").format(open=_OPEN),
)
# A chunk is waited for so long after its neighbour was stored, or after the last round if there was none for longer.
_PATIENCE = "1 hour"
_JOINED = (
    "INSERT INTO fulgor.leela_join (joined_at) VALUES (%s)"
    " ON CONFLICT (one) DO UPDATE SET joined_at = excluded.joined_at"
)

_EDGES = sql.SQL("""
    WITH open AS (
        SELECT DISTINCT chunk, object, node, start_ns, numsmpls, interval_ns, peak_index < %(guard)s AS left_edge
        FROM fulgor.leela_alert
        WHERE {open}
          AND stored_at > coalesce((SELECT joined_at FROM fulgor.leela_join), '-infinity') - {patience}::interval)
    SELECT DISTINCT CASE WHEN o.left_edge THEN n.alert ELSE o.chunk END AS first,
                    CASE WHEN o.left_edge THEN o.chunk ELSE n.alert END AS second,
                    CASE WHEN o.left_edge THEN n.start_ns ELSE o.start_ns END AS first_ns,
                    CASE WHEN o.left_edge THEN o.start_ns ELSE n.start_ns END AS second_ns
    FROM open o JOIN LATERAL (
        SELECT alert, start_ns FROM fulgor.leela_alert
        WHERE object = o.object AND item = 0 AND node = o.node AND noise IS NOT NULL
          AND abs(interval_ns - o.interval_ns) < 1e-6 * o.interval_ns
          AND time BETWEEN to_timestamp((o.start_ns - 700000000) / 1e9) AND to_timestamp((o.start_ns + 700000000) / 1e9)
          AND CASE WHEN o.left_edge THEN abs(start_ns + numsmpls * interval_ns - o.start_ns)
                   ELSE abs(o.start_ns + o.numsmpls * interval_ns - start_ns) END < %(touch)s * interval_ns
        ORDER BY alert LIMIT 1) n ON true
    ORDER BY first_ns, first, second LIMIT %(limit)s
""").format(open=_OPEN, patience=sql.Literal(_PATIENCE))
_CHUNK = sql.SQL(
    "SELECT alert, object, start_ns, interval_ns, numsmpls, noise, samples FROM fulgor.leela_alert"
    " WHERE alert = %s AND item = 0"
)
_PULSES = sql.SQL(
    "SELECT alert, time, chunk, peak_index FROM fulgor.leela_alert WHERE chunk = %(chunk)s AND item > 0"
    " AND revision = 0 AND peak_index >= %(low)s AND peak_index < %(high)s"
    " AND object = %(object)s AND time BETWEEN to_timestamp((%(start)s - 1000000) / 1e9)"
    " AND to_timestamp((%(start)s + 700000000) / 1e9) ORDER BY peak_index FOR UPDATE"
)


@dataclass(frozen=True, slots=True)
class _Seam:
    """Two chunks that touch, as rows of the database."""

    first: dict[str, Any]
    second: dict[str, Any]

    @property
    def origin_ns(self) -> int:
        """Time of the joint stretch's first sample."""
        return int(self.first["start_ns"]) + round((self._length - self._reach) * float(self.first["interval_ns"]))

    @property
    def _length(self) -> int:
        return int(self.first["numsmpls"])

    @property
    def _reach(self) -> int:
        return min(REACH, self._length)

    def offset(self, row: dict[str, Any]) -> int:
        """Return the joint stretch's index of a chunk's first sample."""
        return self._reach - self._length if row["alert"] == self.first["alert"] else self._reach

    @property
    def seam(self) -> int:
        """The joint stretch's index of the second chunk's first sample."""
        return self._reach

    def samples(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the joint stretch."""
        first, second = (unpack_samples(row["samples"], row["numsmpls"]) for row in (self.first, self.second))
        return np.concatenate([first[-self._reach :], second[:REACH]])


def join_chunks(connection: Connection) -> str:
    """Revise the pulses at all seams whose two sides are stored, and say how many.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    """
    exists = connection.execute("SELECT to_regclass('fulgor.leela_alert')").fetchone()
    if exists is None or exists[0] is None:
        return "no LEELA tables"
    migrate_part(connection, "leela-join", _VERSIONS)
    began = connection.execute("SELECT clock_timestamp()").fetchone()
    seams = revised = withdrawn = 0
    for seam in _open_seams(connection):
        with connection.transaction():
            changed, dropped = _join(connection, seam)
        seams, revised, withdrawn = seams + 1, revised + changed, withdrawn + dropped
    if seams < _SEAMS_A_ROUND:
        connection.execute(_JOINED, began)
    return f"{seams} seams joined: {revised} pulses revised, {withdrawn} withdrawn"


def _open_seams(connection: Connection) -> Iterator[_Seam]:
    limits = {"guard": DEFAULT.guard, "limit": _SEAMS_A_ROUND, "touch": _TOUCH}
    for first, second, *_ in connection.execute(_EDGES, limits).fetchall():
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = [cursor.execute(_CHUNK, [alert]).fetchone() for alert in (first, second)]
        if rows[0] is not None and rows[1] is not None:
            yield _Seam(rows[0], rows[1])


def _join(connection: Connection, seam: _Seam) -> tuple[int, int]:
    """Revise one seam; return how many rows were revised and withdrawn."""
    rows = _live(connection, seam)
    interval_ns = float(seam.first["interval_ns"])
    filtered = band_pass(with_edges(seam.samples()[None], DEFAULT.guard), interval_ns, DEFAULT)
    noise = np.array([0.5 * (float(seam.first["noise"]) + float(seam.second["noise"]))])
    peaks, _ = find_peaks(filtered.envelope, noise, DEFAULT)
    found = describe(filtered, noise, interval_ns, peaks)
    near = [pulse for pulse in found if abs(pulse.peak - seam.seam) < DEFAULT.guard + DEFAULT.separation]
    matched = _matches(seam, rows, near)
    for number, row in enumerate(rows):
        pulse = matched.get(number)
        if pulse is None:
            _update(connection, row, {"revision": _WITHDRAWN})
            continue
        at = np.zeros(1, np.intp), np.array([pulse.peak])
        windows, inside = take_windows(filtered.signal, *at, interval_ns, DEFAULT.window)
        columns = pulse_columns(seam.first["object"], seam.origin_ns, interval_ns, pulse, windows[0])
        shift = seam.offset(row["of"])
        columns |= {name: columns[name] - shift for name in ("start_index", "peak_index", "end_index")}
        flags = LeelaFlag(0) if inside.all() else LeelaFlag.WINDOW_CUT
        _update(connection, row, {**columns, "pulse_flags": int(flags), "revision": _REVISED})
    return len(matched), len(rows) - len(matched)


def _live(connection: Connection, seam: _Seam) -> list[dict[str, Any]]:
    """Return the live rows on both sides of the seam, in time order, each with its chunk."""
    guard, length = DEFAULT.guard, seam.first["numsmpls"]
    found: list[dict[str, Any]] = []
    for chunk, low, high in ((seam.first, length - guard, length), (seam.second, 0, guard)):
        place = {
            "chunk": chunk["alert"],
            "low": low,
            "high": high,
            "object": chunk["object"],
            "start": chunk["start_ns"],
        }
        with connection.cursor(row_factory=dict_row) as cursor:
            found += [{**row, "of": chunk} for row in cursor.execute(_PULSES, place).fetchall()]
    return found


def _matches(seam: _Seam, rows: Sequence[dict[str, Any]], pulses: Sequence[Pulse]) -> dict[int, Pulse]:
    """Return the pulse that each row is, by the row's number: the nearest pairs first, each used once."""
    places = [row["peak_index"] + seam.offset(row["of"]) for row in rows]
    pairs = sorted(
        (abs(pulse.peak - place), number, index)
        for number, place in enumerate(places)
        for index, pulse in enumerate(pulses)
        if abs(pulse.peak - place) < DEFAULT.separation
    )
    taken: dict[int, Pulse] = {}
    used: set[int] = set()
    for _, number, index in pairs:
        if number not in taken and index not in used:
            taken[number] = pulses[index]
            used.add(index)
    return taken


def _update(connection: Connection, row: dict[str, Any], columns: dict[str, Any]) -> None:
    assigned = sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(n), sql.Placeholder(n)) for n in columns)
    connection.execute(
        sql.SQL("UPDATE fulgor.leela_alert SET {} WHERE alert = %(alert)s AND time = %(time)s").format(assigned),
        {**columns, "alert": row["alert"], "time": row["time"]},
    )
