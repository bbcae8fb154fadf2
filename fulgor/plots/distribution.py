"""How strange each class is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fulgor.plots.style import INK, PAPER, looks, tidy, title

__all__ = ["anomaly_by_class", "draw_anomaly_by_class"]

_SHOWN = 400  # points of one class; more would be a black bar


def anomaly_by_class(
    anomaly: NDArray[np.floating[Any]], classes: Sequence[str], *, names: Sequence[str] | None = None
) -> Figure:
    """Return the anomaly scores of each class: every alert a point, the median a bar.

    Parameters
    ----------
    anomaly : ndarray (N,)
        Scores in [0, 1].
    classes : sequence of str (N,)
        Class of each.
    names : sequence of str, optional
        All classes in their order, which fixes the colours; by default those that occur, sorted.
    """
    figure = Figure(figsize=(7, 4.6), layout="constrained", facecolor=PAPER)
    draw_anomaly_by_class(figure.subplots(), anomaly, classes, names=names)
    return figure


def draw_anomaly_by_class(
    axes: Axes, anomaly: NDArray[np.floating[Any]], classes: Sequence[str], *, names: Sequence[str] | None = None
) -> None:
    """Draw what :func:`anomaly_by_class` returns."""
    labels = np.asarray(classes)
    known = looks(names or sorted(set(classes)))
    rng = np.random.default_rng(0)
    for row, (name, look) in enumerate(known.items()):
        values = np.asarray(anomaly, dtype=np.float64)[labels == name]
        if not len(values):
            continue
        shown = values if len(values) <= _SHOWN else rng.choice(values, _SHOWN, replace=False)
        height = row + rng.uniform(-0.3, 0.3, len(shown))
        axes.scatter(shown, height, s=13, c=look.colour, marker=look.marker, alpha=0.45, linewidths=0)
        median = float(np.median(values))
        axes.plot([median, median], [row - 0.4, row + 0.4], color=INK, linewidth=2.4, solid_capstyle="butt")
    axes.set_yticks(range(len(known)), list(known))
    axes.set_ylim(len(known) - 0.45, -0.55)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("anomaly (percentile in the reference)")
    tidy(axes)
    axes.grid(visible=False, axis="y")
    title(axes, "How strange each class is", "a point is an alert, a bar a median")
