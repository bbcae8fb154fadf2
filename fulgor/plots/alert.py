"""One alert: its stamps above the light curve that it carries."""

from __future__ import annotations

from matplotlib.figure import Figure

from fulgor.plots.curves import LightCurve, draw_light_curve
from fulgor.plots.stamps import STAMP_NAMES, Stamps, draw_stamps
from fulgor.plots.style import FAINT, INK, PAPER

__all__ = ["alert_picture"]


def alert_picture(stamps: Stamps, curve: LightCurve, heading: str, subheading: str = "") -> Figure:
    """Return the picture of an alert, 9 by 7.4 inches.

    Parameters
    ----------
    stamps : Stamps
        Its cut-outs.
    curve : LightCurve
        Its photometry.
    heading, subheading : str
        What it is, and what a model made of it.
    """
    figure = Figure(figsize=(9, 7.4), facecolor=PAPER)
    figure.text(0.09, 0.955, heading, fontsize=17, fontweight="bold", color=INK, va="center")
    figure.text(0.09, 0.918, subheading, fontsize=11.5, color=FAINT, va="center")
    grid = figure.add_gridspec(
        2, 3, left=0.09, right=0.97, bottom=0.085, top=0.85, height_ratios=(1, 1.05), hspace=0.42, wspace=0.05
    )
    axes = [figure.add_subplot(grid[0, column]) for column in range(3)]
    draw_stamps(axes, stamps)
    for place, name in zip(axes, STAMP_NAMES, strict=True):
        place.set_title(name, fontsize=12, color=INK, pad=5)
    draw_light_curve(figure.add_subplot(grid[1, :]), curve, "Light curve")
    return figure
