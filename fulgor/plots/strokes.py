"""Located strokes on a map, with their error ellipses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from fulgor.plots.style import INK, PAPER, key, looks, tidy, title

__all__ = ["Place", "draw_strokes", "stroke_map"]

_KM_A_DEGREE = 111.2
_MARGIN = 0.06  # of the map beyond the outermost strokes
_LARGEST_KM = 250.0  # a longer ellipse says of a stroke that it may be anywhere, and hides the others


@dataclass(frozen=True, slots=True)
class Place:
    """A stroke on the map, as a row of the view ``leela_strokes`` has it.

    Parameters
    ----------
    lat, lon : float
        Degrees.
    semi_major_km, semi_minor_km, azimuth_deg : float
        Of the 95 % ellipse.
    ambiguous : bool
        Few sites, or too many pulses around.
    """

    lat: float
    lon: float
    semi_major_km: float
    semi_minor_km: float
    azimuth_deg: float
    ambiguous: bool


def stroke_map(strokes: Sequence[Place], receivers: Sequence[tuple[float, float]] = ()) -> Figure:
    """Return a map of strokes and receivers.

    Parameters
    ----------
    strokes : sequence of Place
        At least one.
    receivers : sequence of (float, float)
        Latitudes and longitudes; those outside of the map are left out.
    """
    figure = Figure(figsize=(9, 8), layout="constrained", facecolor=PAPER)
    draw_strokes(figure.subplots(), strokes, receivers)
    return figure


def draw_strokes(axes: Axes, strokes: Sequence[Place], receivers: Sequence[tuple[float, float]] = ()) -> None:
    """Draw what :func:`stroke_map` returns."""
    kinds = looks(("flagged", "located", "receiver"))
    for name, flagged in (("flagged", True), ("located", False)):
        chosen = [each for each in strokes if each.ambiguous == flagged]
        for each in chosen:
            if each.semi_major_km <= _LARGEST_KM:
                axes.add_patch(_ellipse(each, kinds[name].colour, filled=not flagged))
        points = np.array([(s.lon, s.lat) for s in chosen]).reshape(-1, 2)
        axes.scatter(
            points[:, 0], points[:, 1], s=12 if flagged else 24, c=kinds[name].colour, marker=kinds[name].marker,
            linewidths=0, zorder=3, alpha=0.7 if flagged else 1.0,
        )  # fmt: skip
    _view(axes, strokes)
    (west, east), (south, north) = axes.get_xlim(), axes.get_ylim()
    for lat, lon in receivers:
        if south < lat < north and west < lon < east:
            axes.scatter(lon, lat, s=60, c=INK, marker=kinds["receiver"].marker, zorder=2)
    axes.set_xlabel("longitude (degrees)")
    axes.set_ylabel("latitude (degrees)")
    tidy(axes)
    title(axes, f"{len(strokes):,} strokes and their 95 % ellipses of up to {_LARGEST_KM:.0f} km")
    key(axes, [(name, look._replace(colour=INK) if name == "receiver" else look) for name, look in kinds.items()])


def _ellipse(stroke: Place, colour: str, *, filled: bool) -> Ellipse:
    """Return a stroke's ellipse in degrees; exact enough for one small beside the earth."""
    turn = np.radians(stroke.azimuth_deg)
    across = np.cos(np.radians(stroke.lat)) * _KM_A_DEGREE
    axes = np.array([[np.sin(turn), np.cos(turn)], [np.cos(turn), -np.sin(turn)]]).T
    stretched = np.diag([1 / across, 1 / _KM_A_DEGREE]) @ axes @ np.diag([stroke.semi_major_km, stroke.semi_minor_km])
    directions, lengths, _ = np.linalg.svd(stretched)
    angle = float(np.degrees(np.arctan2(directions[1, 0], directions[0, 0])))
    return Ellipse(
        (stroke.lon, stroke.lat), 2 * lengths[0], 2 * lengths[1], angle=angle, color=colour, fill=filled,
        alpha=0.35 if filled else 0.5, lw=0 if filled else 0.8,
    )  # fmt: skip


def _view(axes: Axes, strokes: Sequence[Place]) -> None:
    """Show the unflagged strokes, or all where there are none: a flagged one may lie anywhere."""
    shown = [s for s in strokes if not s.ambiguous] or list(strokes)
    lat, lon = np.array([s.lat for s in shown]), np.array([s.lon for s in shown])
    for low, high, limit in ((lon.min(), lon.max(), axes.set_xlim), (lat.min(), lat.max(), axes.set_ylim)):
        reach = max(high - low, 0.5)
        limit(float(low - _MARGIN * reach), float(high + _MARGIN * reach))
    axes.set_aspect(1 / np.cos(np.radians(float(lat.mean()))))
