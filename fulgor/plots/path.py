"""An object's way through the latents, alert by alert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fulgor.errors import ModelError
from fulgor.plots.maps import Projection, label_axes, view
from fulgor.plots.style import FAINT, INK, PAPER, key, looks, tidy, title

__all__ = ["ObjectPath", "latent_path"]

_COLOURS = "viridis"
_ASIDE = 0.11  # of the axes


@dataclass(frozen=True, slots=True)
class ObjectPath:
    """The alerts of one object.

    Parameters
    ----------
    which : ndarray
        int64 (n,): their places among all points of the map.
    days : ndarray
        (n,): days since the first of them.
    probabilities : ndarray
        (n, classes).
    """

    which: NDArray[np.int64]
    days: NDArray[np.float64]
    probabilities: NDArray[np.floating[Any]]


def latent_path(plane: Projection, path: ObjectPath, classes: Sequence[str], heading: str) -> Figure:
    """Return an object's latents through time on the map of all, and beside it what the model told of it.

    Parameters
    ----------
    plane : Projection
        Where all alerts lie.
    path : ObjectPath
        The object's.
    classes : sequence of str
        Names of the classes.
    heading : str
        The line above.

    Raises
    ------
    ModelError
        The object has fewer than two alerts.
    """
    if len(path.which) < 2:
        raise ModelError(f"a path needs two alerts, the object has {len(path.which)}; take another object")
    order = np.argsort(path.days, kind="stable")
    figure = Figure(figsize=(11, 4.9), layout="constrained", facecolor=PAPER)
    where, told = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_path(figure, where, plane, path.which[order], path.days[order])
    _draw_classes(told, path.days[order], path.probabilities[order], classes)
    title(where, heading, f"{len(order)} alerts in {np.ptp(path.days):.3g} days, among {len(plane.points):,}")
    return figure


def _draw_path(
    figure: Figure, axes: Axes, plane: Projection, which: NDArray[np.int64], days: NDArray[np.float64]
) -> None:
    points, way = plane.points, plane.points[which]
    axes.scatter(points[:, 0], points[:, 1], s=9, c="#cdd3da", linewidths=0, zorder=1)
    axes.plot(way[:, 0], way[:, 1], color=INK, linewidth=1.1, alpha=0.75, zorder=2)
    shown = axes.scatter(way[:, 0], way[:, 1], s=46, c=days, cmap=_COLOURS, edgecolors=PAPER, linewidths=0.7, zorder=3)
    view(axes, points, way)
    _name(axes, "first", way[0], way)
    _name(axes, "last", way[-1], way)
    label_axes(axes, plane)
    tidy(axes)
    bar = figure.colorbar(shown, ax=axes, fraction=0.045, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=10, colors=INK)
    bar.set_label("days since the first alert", fontsize=11, color=INK)


def _name(axes: Axes, text: str, point: NDArray[np.float64], way: NDArray[np.float64]) -> None:
    """Write beside a point, away from the others."""
    here, others = (axes.transAxes.inverted().transform(axes.transData.transform(one)) for one in (point, way))
    away = here - others.mean(axis=0)
    length = float(np.hypot(*away))
    x, y = np.clip(here + _ASIDE * (away / length if length > 1e-9 else np.array([0.0, 1.0])), 0.05, 0.95)
    axes.annotate(
        text, (point[0], point[1]), (x, y), textcoords="axes fraction", ha="center", va="center", fontsize=11,
        color=INK, fontweight="bold", zorder=4, arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.8},
    )  # fmt: skip


def _draw_classes(
    axes: Axes, days: NDArray[np.float64], probabilities: NDArray[np.floating[Any]], classes: Sequence[str]
) -> None:
    known = looks(classes)
    for number, (_, look) in enumerate(known.items()):
        axes.plot(days, probabilities[:, number], color=look.colour, linewidth=1, alpha=0.35)
        axes.scatter(days, probabilities[:, number], s=26, c=look.colour, marker=look.marker, linewidths=0, zorder=3)
    axes.set_ylim(-0.03, 1.03)
    axes.axhline(1 / len(classes), color=FAINT, linewidth=1, linestyle=(0, (4, 4)), zorder=0)
    axes.set_xlabel("days since the first alert")
    axes.set_ylabel("probability")
    tidy(axes)
    title(axes, "What the model tells")
    key(axes, known.items())
