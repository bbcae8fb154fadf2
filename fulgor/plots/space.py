"""Latents in space: the three axes along which they vary most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from fulgor.plots.maps import principal_axes
from fulgor.plots.style import FAINT, INK, PAPER, Look, looks

__all__ = ["latent_space"]

_ELEVATION, _AZIMUTH = 22.0, -52.0
_PANE = (0.965, 0.97, 0.978, 1.0)
_AXES = 3
_ONE_LINE = 5  # entries of the legend


def latent_space(
    latents: NDArray[np.floating[Any]],
    classes: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    heading: str = "Latents in space",
) -> Figure:
    """Return latents along their first three principal components, coloured by class, with their shadows on the floor.

    Parameters
    ----------
    latents : ndarray (N, D)
        Finite; D >= 3.
    classes : sequence of str (N,)
        Class or cluster of each.
    names : sequence of str, optional
        All classes in their order, which fixes the colours; by default those that occur, sorted.
    heading : str
        The line above.
    """
    points, explained = principal_axes(latents, _AXES)
    figure = Figure(figsize=(8.4, 7.2), facecolor=PAPER)
    axes: Any = figure.add_axes((0.0, 0.0, 0.94, 0.9), projection="3d")
    floor = _box(axes, points)
    labels = np.asarray(classes)
    handles = []
    for name, look in looks(names or sorted(set(classes))).items():
        here = points[labels == name]
        shadow = np.full(len(here), floor)
        axes.scatter(here[:, 0], here[:, 1], shadow, s=7, c="#c9d0d8", linewidths=0, depthshade=False)
        axes.scatter(
            here[:, 0], here[:, 1], here[:, 2], s=30, c=look.colour, marker=look.marker, alpha=0.9,
            edgecolors=PAPER, linewidths=0.4,
        )  # fmt: skip
        handles.append(_handle(look, f"{name} ({len(here):,})"))
    for axis, number, share in zip((axes.xaxis, axes.yaxis, axes.zaxis), (1, 2, 3), explained, strict=True):
        axis.set_label_text(f"component {number} ({share:.0%})", fontsize=11, color=INK)
        axis.set_pane_color(_PANE)
    axes.tick_params(labelsize=9, colors=FAINT)
    axes.view_init(elev=_ELEVATION, azim=_AZIMUTH)
    figure.text(0.03, 0.955, heading, fontsize=14, fontweight="bold", color=INK)
    columns = len(handles) if len(handles) <= _ONE_LINE else 4
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0.02, 0.95), ncols=columns, fontsize=11,
        frameon=False, handletextpad=0.1, columnspacing=1.1, labelcolor=INK,
    )  # fmt: skip
    return figure


def _handle(look: Look, text: str) -> Line2D:
    return Line2D([], [], linestyle="none", marker=look.marker, markersize=7, color=look.colour, label=text)


def _box(axes: Any, points: NDArray[np.float64]) -> float:
    """Show all points, and return the height of the floor."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.06 * np.maximum(high - low, 1e-9)
    low, high = low - margin, high + margin
    for limit, least, most in zip((axes.set_xlim, axes.set_ylim, axes.set_zlim), low, high, strict=True):
        limit(float(least), float(most))
    return float(low[2])
