"""Light curves, as an alert carries them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fulgor.plots.style import BANDS, FAINT, PAPER, Look, key, tidy, title

__all__ = ["LightCurve", "draw_light_curve", "light_curve"]

_OTHER = Look(FAINT, "P")
_FAINTER, _LIMIT = "fainter than template", "limit"


@dataclass(frozen=True, slots=True)
class LightCurve:
    """Photometry of one object; all arrays (N,).

    Parameters
    ----------
    days : ndarray
        Time in days; the alert itself is at 0.
    bands : ndarray of str
        g, r or i.
    magnitudes, errors : ndarray
        Of detections, AB; NaN elsewhere.
    limits : ndarray
        5-sigma limiting magnitudes, drawn where there is no detection.
    negative : ndarray of bool
        The source was fainter than in the template.
    """

    days: NDArray[np.float64]
    bands: NDArray[np.str_]
    magnitudes: NDArray[np.float64]
    errors: NDArray[np.float64]
    limits: NDArray[np.float64]
    negative: NDArray[np.bool_]


def light_curve(curve: LightCurve, heading: str = "Light curve") -> Figure:
    """Return the light curve: detections with errors, limits as open triangles; bright is up.

    A hollow detection is fainter than the template.

    Parameters
    ----------
    curve : LightCurve
        The photometry.
    heading : str
        The line above it.
    """
    figure = Figure(figsize=(7, 4.6), layout="constrained", facecolor=PAPER)
    draw_light_curve(figure.subplots(), curve, heading)
    return figure


def draw_light_curve(axes: Axes, curve: LightCurve, heading: str) -> None:
    """Draw what :func:`light_curve` returns."""
    detected = np.isfinite(curve.magnitudes)
    limits = ~detected & np.isfinite(curve.limits)
    bands = {band: BANDS.get(band, _OTHER) for band in sorted(set(curve.bands.tolist()))}
    for band, look in bands.items():
        here = curve.bands == band
        _detections(axes, curve, here & detected & ~curve.negative, look)
        _detections(axes, curve, here & detected & curve.negative, look, hollow=True)
        _limits(axes, curve, here & limits, look)
    entries = list(bands.items())
    if (detected & curve.negative).any():
        entries.append((_FAINTER, Look(FAINT, "o")))
    if limits.any():
        entries.append((_LIMIT, Look(FAINT, "v")))
    axes.invert_yaxis()
    axes.margins(x=0.05, y=0.14)
    axes.set_xlabel("days before the alert" if (curve.days <= 0).all() else "days from the alert")
    axes.set_ylabel("difference magnitude (AB)")
    tidy(axes)
    title(axes, heading)
    key(axes, entries, hollow=(_FAINTER, _LIMIT))


def _detections(axes: Axes, curve: LightCurve, which: NDArray[np.bool_], look: Look, *, hollow: bool = False) -> None:
    errors: Any = np.nan_to_num(curve.errors[which], nan=0.0)
    axes.errorbar(
        curve.days[which], curve.magnitudes[which], errors, fmt=look.marker, color=look.colour, markersize=6,
        markerfacecolor=PAPER if hollow else look.colour, elinewidth=1.3,
    )  # fmt: skip


def _limits(axes: Axes, curve: LightCurve, which: NDArray[np.bool_], look: Look) -> None:
    axes.scatter(
        curve.days[which], curve.limits[which], marker="v", s=30, facecolors="none", edgecolors=look.colour, alpha=0.6
    )
