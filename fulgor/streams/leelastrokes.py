"""Where lightning struck: pulses of several LEELA sites, located by a downstream job.

Time is cut into blocks of about a second, each cut in the longest pause between pulses near the full
second; a block's strokes are a function of the pulses in it alone. So the order of arrival leaves no
trace, a block whose pulses changed (late ones, seams that were joined) is simply located again, and no
pulse is in two strokes. A block waits until the network is `LATENESS_S` ahead of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import numpy as np
from psycopg import sql

from fulgor.models.location import DEFAULT, PHASE, Locator, Propagation, Sighting, Stroke, timing
from fulgor.models.location.solve import LEAST_SITES
from fulgor.preprocessing.leela.nodes import Node
from fulgor.preprocessing.leela.recipe import NOMINAL_INTERVAL_NS
from fulgor.preprocessing.leela.windows import is_usual
from fulgor.storage.database import Connection
from fulgor.storage.migrate import migrate_part

__all__ = ["LATENESS_S", "locate_strokes", "stroke_id"]

LATENESS_S = 1.1
"""Real chunks arrive up to 1.02 s out of order; later ones revise what was located."""

_SECOND_NS = 1_000_000_000
# Around each full second, so far is looked for the pause in which to cut.
_CUT_NS = 250_000_000
# Rows become visible at most so long after the clock that is written on them.
_OVERLAP = "1 minute"
_MOST_PULSES = 5_000
_WITHDRAWN = 2

# The first version says IF NOT EXISTS: there are databases from before the versions were recorded.
_VERSIONS = (sql.SQL("""
    CREATE TABLE IF NOT EXISTS fulgor.leela_stroke (
        stroke text PRIMARY KEY, block int8 NOT NULL, time timestamptz NOT NULL, time_ns int8 NOT NULL,
        lat float8 NOT NULL, lon float8 NOT NULL, sites int2 NOT NULL, chi_square float4, rms_us float4 NOT NULL,
        semi_major_km float4 NOT NULL, semi_minor_km float4 NOT NULL, azimuth_deg float4 NOT NULL,
        slowness float8 NOT NULL, method text NOT NULL, ambiguous bool NOT NULL,
        located_at timestamptz NOT NULL DEFAULT now());
    CREATE INDEX IF NOT EXISTS leela_stroke_by_time ON fulgor.leela_stroke (time_ns);
    CREATE INDEX IF NOT EXISTS leela_stroke_by_block ON fulgor.leela_stroke (block);
    CREATE TABLE IF NOT EXISTS fulgor.leela_stroke_pulse (
        alert text PRIMARY KEY, stroke text NOT NULL REFERENCES fulgor.leela_stroke ON DELETE CASCADE,
        node text NOT NULL, arrival_ns int8 NOT NULL, cycles int2 NOT NULL);
    CREATE INDEX IF NOT EXISTS leela_stroke_pulse_by_stroke ON fulgor.leela_stroke_pulse (stroke);
    CREATE TABLE IF NOT EXISTS fulgor.leela_stroke_block (
        block int8 PRIMARY KEY, pulses int8 NOT NULL, digest bytea NOT NULL,
        located_at timestamptz NOT NULL DEFAULT clock_timestamp());
    CREATE OR REPLACE VIEW fulgor.leela_strokes AS
        SELECT s.stroke, s.time, s.time_ns, s.lat, s.lon, s.sites, s.chi_square, s.rms_us, s.semi_major_km,
               s.semi_minor_km, s.azimuth_deg, s.slowness, s.method, s.ambiguous, n.near AS strokes_near,
               CASE WHEN s.ambiguous THEN 'unknown' WHEN n.near > 0 THEN 'several' ELSE 'single' END AS events,
               p.alerts AS pulses, s.located_at
        FROM fulgor.leela_stroke s
        CROSS JOIN LATERAL (
            SELECT count(*) AS near FROM fulgor.leela_stroke o
            WHERE o.time_ns BETWEEN s.time_ns - 500000000 AND s.time_ns + 500000000 AND o.stroke <> s.stroke
              AND NOT o.ambiguous
              AND 111.2 * sqrt((o.lat - s.lat) ^ 2 + ((o.lon - s.lon) * cos(radians(s.lat))) ^ 2)
                  < greatest(10, s.semi_major_km + o.semi_major_km)) n
        CROSS JOIN LATERAL (
            SELECT array_agg(alert ORDER BY arrival_ns, alert) AS alerts
            FROM fulgor.leela_stroke_pulse WHERE stroke = s.stroke) p;
"""), sql.SQL("""
    ALTER TABLE fulgor.leela_stroke_block ADD COLUMN due bool NOT NULL DEFAULT false;
    CREATE INDEX leela_stroke_block_due ON fulgor.leela_stroke_block (block) WHERE due;
    CREATE TABLE fulgor.leela_stroke_look (
        looked_at timestamptz NOT NULL, one bool PRIMARY KEY DEFAULT true CHECK (one));
"""))  # fmt: skip
# A seam that is joined changes rows beside a chunk that was just stored: rows of chunks count, too. A pulse near a full
# second moves the cut, and with it the block before.
_MARK_DUE = sql.SQL(
    "INSERT INTO fulgor.leela_stroke_block (block, pulses, digest, due)"
    " SELECT DISTINCT floor(extract(epoch FROM time))::int8 + step, 0, ''::bytea, true"
    " FROM fulgor.leela_alert, (VALUES (-1), (0)) AS steps (step) WHERE time_ns IS NOT NULL"
    " AND stored_at > coalesce((SELECT looked_at FROM fulgor.leela_stroke_look), '-infinity') - {overlap}::interval"
    " ON CONFLICT (block) DO UPDATE SET due = true"
).format(overlap=sql.Literal(_OVERLAP))
_LOOKED = (
    "INSERT INTO fulgor.leela_stroke_look (looked_at) VALUES (now())"
    " ON CONFLICT (one) DO UPDATE SET looked_at = excluded.looked_at"
)
_NEWEST = sql.SQL("SELECT max(time_ns), max(stored_at) < now() - {silence}::interval FROM fulgor.leela_alert")
_PULSES = sql.SQL(
    "SELECT alert, node, start_ns, peak_index, interval_ns, amplitude, revision, pulse_ns, \"window\""
    " FROM fulgor.leela_alert WHERE item > 0 AND revision <> %(withdrawn)s"
    " AND time BETWEEN to_timestamp(%(first)s / 1e9) AND to_timestamp(%(last)s / 1e9)"
    " AND pulse_ns >= %(first)s AND pulse_ns < %(last)s ORDER BY pulse_ns, alert"
)  # fmt: skip
# Without news for so long, the last block waits no longer for the network to get ahead of it.
_SILENCE = "10 seconds"


def locate_strokes(
    connection: Connection, nodes: Mapping[str, Node], *, edge: float | None = None, wave: float | None = None
) -> str:
    """Locate the strokes of all blocks whose pulses are new or changed, and say how many.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    nodes : mapping
        The network's receivers by serial number.
    edge, wave : float, optional
        Slowness (speed of light over the speed) of envelopes' edges and of the waves beneath them; those of
        simulated strokes where they are not known better.
    """
    exists = connection.execute("SELECT to_regclass('fulgor.leela_alert')").fetchone()
    if exists is None or exists[0] is None:
        return "no LEELA tables"
    migrate_part(connection, "leela-strokes", _VERSIONS)
    places = {name: (node.lat, node.lon) for name, node in nodes.items()}
    locator = Locator(places, _at_speed(DEFAULT, edge), _at_speed(PHASE, wave))
    blocks = strokes = 0
    for second in _due(connection):
        with connection.transaction():
            found = _locate_block(connection, locator, second)
        if found is not None:
            blocks, strokes = blocks + 1, strokes + found
    return f"{blocks} blocks located: {strokes} strokes"


def _at_speed(propagation: Propagation, slowness: float | None) -> Propagation:
    return propagation if slowness is None else replace(propagation, slowness=slowness)


def stroke_id(stroke: Stroke) -> str:
    """Return a stroke's id: of its strongest pulse, so that a late weaker one leaves it as it is."""
    strongest = max(stroke.sightings, key=lambda sighting: (sighting.amplitude, sighting.id))
    return "stroke-" + blake2b(strongest.id.encode(), digest_size=10).hexdigest()


def _due(connection: Connection) -> list[int]:
    """Return the blocks in which rows are new and for which nothing more is expected.

    Those that must wait are kept as due: when they are ripe, their rows may be long past what counts as new.
    """
    with connection.transaction():
        connection.execute(_MARK_DUE)
        connection.execute(_LOOKED)
        newest, silent = connection.execute(_NEWEST.format(silence=sql.Literal(_SILENCE))).fetchone() or (None, None)
        if newest is None:
            return []
        ripe = (int(str(newest)) - round(LATENESS_S * _SECOND_NS) - _CUT_NS) // _SECOND_NS
        found = connection.execute(
            "SELECT block FROM fulgor.leela_stroke_block WHERE due AND (%s OR block < %s) ORDER BY block",
            [silent, ripe],
        ).fetchall()
    return [int(str(block)) for (block,) in found]


def _locate_block(connection: Connection, locator: Locator, second: int) -> int | None:
    """Locate one block anew if its pulses are others than last time; return the number of strokes."""
    rows = _block(connection, second)
    digest = blake2b("\n".join(f"{row[0]} {row[6]} {row[7]}" for row in rows).encode(), digest_size=16).digest()
    known = connection.execute("SELECT digest FROM fulgor.leela_stroke_block WHERE block = %s", [second]).fetchone()
    if known is not None and known[0] == digest:
        connection.execute("UPDATE fulgor.leela_stroke_block SET due = false WHERE block = %s", [second])
        return None
    strongest = sorted(rows, key=lambda row: (-row[5], row[0]))[:_MOST_PULSES]
    strokes = locator.locate([_sighting(row) for row in strongest])
    _replace(connection, second, strokes)
    connection.execute(
        "INSERT INTO fulgor.leela_stroke_block (block, pulses, digest) VALUES (%s, %s, %s) ON CONFLICT (block)"
        " DO UPDATE SET pulses = excluded.pulses, digest = excluded.digest, due = false,"
        " located_at = clock_timestamp()",
        [second, len(rows), digest],
    )
    return len(strokes)


def _block(connection: Connection, second: int) -> list[Any]:
    """Return the pulses between the cut near a second and the cut near the next."""
    span = {"first": second * _SECOND_NS, "last": (second + 1) * _SECOND_NS + _CUT_NS, "withdrawn": _WITHDRAWN}
    rows: list[Any] = connection.execute(_PULSES, span).fetchall()
    times = np.array([row[7] for row in rows], np.int64)
    first, last = (_cut(times, (second + step) * _SECOND_NS) for step in (0, 1))
    return [row for row, time in zip(rows, times.tolist(), strict=True) if first <= time < last]


def _cut(times: np.ndarray[Any, np.dtype[np.int64]], start_ns: int) -> int:
    """Return the middle of the longest pause between pulses in the stretch that begins at a time."""
    inside = times[(times >= start_ns) & (times < start_ns + _CUT_NS)]
    marks = np.concatenate([[start_ns], inside, [start_ns + _CUT_NS]])
    longest = int(np.argmax(np.diff(marks)))
    return int(marks[longest] + (marks[longest + 1] - marks[longest]) // 2)


def _sighting(row: Any) -> Sighting:
    alert, node, start_ns, peak_index, interval_ns, amplitude, _, _, window = row
    spacing_ns = interval_ns if is_usual(interval_ns) else NOMINAL_INTERVAL_NS
    times = timing(np.frombuffer(window, "<f2"), spacing_ns / 1000)
    return Sighting(alert, node, start_ns + round(peak_index * interval_ns), amplitude, times)


def _replace(connection: Connection, second: int, strokes: Sequence[Stroke]) -> None:
    """Put a block's strokes in place of those that it had; what moved here from a neighbour is taken from it."""
    pulses = [sighting.id for stroke in strokes for sighting in stroke.sightings]
    ids = [stroke_id(stroke) for stroke in strokes]
    connection.execute(
        "DELETE FROM fulgor.leela_stroke WHERE block = %s OR stroke = ANY(%s)"
        " OR stroke IN (SELECT stroke FROM fulgor.leela_stroke_pulse WHERE alert = ANY(%s))",
        [second, ids, pulses],
    )
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT, [_row(stroke, name, second) for stroke, name in zip(strokes, ids, strict=True)])
        cursor.executemany(
            _INSERT_PULSE,
            [
                (s.id, name, s.node, s.time_ns + round(s.timing.edge_us * 1000), cycles)
                for stroke, name in zip(strokes, ids, strict=True)
                for s, cycles in zip(stroke.sightings, stroke.cycles, strict=True)
            ],
        )


_INSERT = (
    "INSERT INTO fulgor.leela_stroke (stroke, block, time, time_ns, lat, lon, sites, chi_square, rms_us,"
    " semi_major_km, semi_minor_km, azimuth_deg, slowness, method, ambiguous)"
    " VALUES (%s, %s, to_timestamp(%s / 1e9), %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_INSERT_PULSE = (
    "INSERT INTO fulgor.leela_stroke_pulse (alert, stroke, node, arrival_ns, cycles) VALUES (%s, %s, %s, %s, %s)"
)


def _row(stroke: Stroke, name: str, second: int) -> tuple[Any, ...]:
    found = stroke.solution
    return (
        name, second, stroke.time_ns, stroke.time_ns, found.lat, found.lon, len(stroke.sightings),
        found.chi_square if len(found.residuals_us) > LEAST_SITES else None, found.rms_us,
        found.semi_major_km, found.semi_minor_km, found.azimuth_deg, found.slowness, stroke.method, stroke.ambiguous,
    )  # fmt: skip
