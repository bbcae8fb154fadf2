"""Cones on the sky: as ranges of the HEALPix index that the tables hold, and the alerts in them."""

from __future__ import annotations

import math

from psycopg import sql

from fulgor.errors import SettingsError
from fulgor.preprocessing.sky import HEALPIX_ORDER
from fulgor.storage.database import Connection
from fulgor.storage.results import SCORES, ConeMatch, check_limit, fetch, model_of, shared

__all__ = ["LARGEST_RADIUS", "cone", "cover"]

LARGEST_RADIUS = 36_000.0
"""Arcseconds: ten degrees. Beyond, a full scan would serve better than an index."""

_MOST_PIXELS = 64  # per cover, roughly: fewer ranges against fewer alerts outside of the cone


# The ranges overlap nowhere, so that no alert comes twice. OFFSET 0 keeps look-ups look-ups: the planner, which cannot
# know how little a range holds, would rather read every partition. The distance is the haversine, in arcseconds.
_CONE = sql.SQL(
    """
SELECT {columns}, a.ra, a.dec, a.separation
FROM unnest(%(first)s::bigint[], %(after)s::bigint[]) AS r (first, after)
CROSS JOIN LATERAL (
    SELECT alert, time, ra, dec,
           7200 * degrees(asin(least(1, sqrt(sind((dec - %(dec)s) / 2) ^ 2
                                             + cosd(dec) * cosd(%(dec)s) * sind((ra - %(ra)s) / 2) ^ 2)))) AS separation
    FROM {table} WHERE healpix >= r.first AND healpix < r.after OFFSET 0
) a
CROSS JOIN LATERAL (
    SELECT * FROM fulgor.latent
    WHERE stream = %(stream)s AND alert = a.alert AND model_id = %(model)s AND time = a.time OFFSET 0
) l
WHERE a.separation <= %(radius)s
ORDER BY a.separation, l.time LIMIT %(limit)s
"""
)


def cone(
    connection: Connection,
    stream: str,
    ra: float,
    dec: float,
    radius: float,
    *,
    limit: int = 1000,
    model: str | None = None,
) -> list[ConeMatch]:
    """Return the alerts within an angle of a place, the nearest first.

    The search looks up ranges of the HEALPix index and then takes the exact angular distance
    (haversine).

    Parameters
    ----------
    connection : Connection
        To the database.
    stream : str
        A stream whose alerts have places.
    ra, dec : float
        Degrees, J2000.
    radius : float
        Arcseconds, at most 36,000 (10 degrees).
    limit : int
        How many at most.
    model : str, optional
        Id, name or hash; default: the live one. Alerts that it has not scored are left out.

    Raises
    ------
    SettingsError
        A number is out of its range, or the stream has no places.
    ModelError
        There is no such model.
    """
    check_limit(limit, "limit")
    ranges = cover(ra, dec, radius)
    which = model_of(connection, stream, model)
    _check_places(connection, stream)
    query = _CONE.format(columns=SCORES, table=sql.Identifier("fulgor", f"{stream}_alert"))
    first, after = (list(ends) for ends in zip(*ranges, strict=True))
    parameters = {"ra": ra, "dec": dec, "radius": radius, "limit": limit, "first": first, "after": after}
    return [
        ConeMatch(**shared(row, which), ra=row["ra"], dec=row["dec"], separation=row["separation"])
        for row in fetch(connection, query, which, parameters)
    ]


def cover(ra: float, dec: float, radius: float) -> list[tuple[int, int]]:
    """Return ranges of order-29 nested pixels that together hold a cone.

    Parameters
    ----------
    ra, dec : float
        Centre, degrees.
    radius : float
        Arcseconds, above 0 and at most `LARGEST_RADIUS`.

    Returns
    -------
    list of (int, int)
        First pixel and the one after the last, ascending, without overlap. They hold more than the
        cone.

    Raises
    ------
    SettingsError
        A number is out of its range.
    """
    if not (math.isfinite(ra) and -360 <= ra <= 360):
        raise SettingsError(f"right ascension {ra}: must lie between -360 and 360 degrees")
    if not -90 <= dec <= 90:
        raise SettingsError(f"declination {dec}: must lie between -90 and 90 degrees")
    if not 0 < radius <= LARGEST_RADIUS:
        raise SettingsError(f"radius {radius}: must lie above 0 and at most {LARGEST_RADIUS:,.0f} arcseconds")
    order = _order(radius)
    shift = 2 * (HEALPIX_ORDER - order)
    return [(first << shift, after << shift) for first, after in _runs(_pixels(ra, dec, radius, order))]


def _order(radius: float) -> int:
    """Return the finest order at which a cone covers no more than some `_MOST_PIXELS`."""
    area = math.pi * math.radians(radius / 3600) ** 2
    pixels = 4 * math.pi * _MOST_PIXELS / area
    return max(0, min(HEALPIX_ORDER, math.floor(math.log2(pixels / 12) / 2)))


def _pixels(ra: float, dec: float, radius: float, order: int) -> list[int]:
    # These take a third of a second to import: only a cone search pays for them.
    from astropy import units as u
    from astropy_healpix import HEALPix

    grid = HEALPix(nside=2**order, order="nested")
    found = grid.cone_search_lonlat(ra % 360 * u.deg, dec * u.deg, radius=radius * (1 + 1e-9) * u.arcsec)
    return sorted(int(pixel) for pixel in found)


def _runs(pixels: list[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for pixel in pixels:
        if runs and runs[-1][1] == pixel:
            runs[-1] = (runs[-1][0], pixel + 1)
        else:
            runs.append((pixel, pixel + 1))
    return runs


def _check_places(connection: Connection, stream: str) -> None:
    row = connection.execute(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname IN ('ra', 'dec', 'healpix')",
        [f"fulgor.{stream}_alert"],
    ).fetchone()
    if row != (3,):
        raise SettingsError(f"alerts of stream '{stream}' have no places on the sky")
