"""The periodogram of a LEELA chunk, beside what an autoencoder rebuilds of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fulgor.plots.style import FAINT, INK, PAPER
from fulgor.preprocessing.leela.periodogram import SEGMENT

__all__ = ["periodogram_picture"]

Image = NDArray[np.floating[Any]]


def periodogram_picture(
    seen: Image, interval_ns: float, rebuilt: Image | None = None, *, segment: int = SEGMENT, heading: str = ""
) -> Figure:
    """Return a periodogram and, where one is given, what an autoencoder rebuilds of it and the difference.

    Parameters
    ----------
    seen : ndarray (frequencies, times)
        From :func:`fulgor.preprocessing.leela.periodogram`: power in units of its maximum.
    interval_ns : float
        Sampling interval of the chunk.
    rebuilt : ndarray (frequencies, times), optional
        The same, rebuilt.
    segment : int
        Samples of a segment.
    heading : str
        The line above.
    """
    parts: list[tuple[str, Image, str, float]] = [("periodogram", seen, "viridis", 0.0)]
    if rebuilt is not None:
        parts += [("rebuilt", rebuilt, "viridis", 0.0), ("periodogram - rebuilt", seen - rebuilt, "RdBu_r", -1.0)]
    figure = Figure(figsize=(3.9 * len(parts) + 1.2, 3.9), layout="constrained", facecolor=PAPER)
    figure.suptitle(heading, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    panels = figure.subplots(1, len(parts), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, image, colours, low) in zip(panels, parts, strict=True):
        _draw(axes, image, interval_ns, segment, (colours, low))
        axes.set_title(name, fontsize=12, color=INK)
        axes.set_xlabel("time (ms)", fontsize=11, color=INK)
    panels[0].set_ylabel("frequency (kHz)", fontsize=11, color=INK)
    return figure


def _draw(axes: Axes, image: Image, interval_ns: float, segment: int, scale: tuple[str, float]) -> None:
    """Draw cells where they lie: a segment's cell spans the step to the next, a frequency's half-way to the others."""
    step_ms, width_khz = (segment - segment // 8) * interval_ns / 1e6, 1e6 / (segment * interval_ns)
    colours, low = scale
    middle_ms = segment * interval_ns / 2e6
    across = middle_ms + (np.arange(image.shape[1] + 1) - 0.5) * step_ms
    up = (np.arange(image.shape[0] + 1) - 0.5) * width_khz
    mesh = axes.pcolormesh(across, up, image, cmap=colours, vmin=low, vmax=1.0)
    bar = axes.figure.colorbar(mesh, ax=axes, fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=9, colors=INK)
    axes.tick_params(labelsize=10, colors=INK, color=FAINT)
    axes.set_ylim(0, float(up[-1]))
