"""An alert beside what the autoencoder makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fulgor.models.rebuilding import Rebuilt
from fulgor.plots.style import FAINT, INK, PAPER

__all__ = ["reconstruction"]

_COLUMNS = ("seen", "rebuilt", "seen - rebuilt", "mask")
_MISSING = "#c9d3dc"
_LEAST = 1.0  # half the range of a residual at least: noise alone must not look like a signal

Pixels = NDArray[np.floating[Any]]


def reconstruction(found: Rebuilt, heading: str = "Reconstruction") -> Figure:
    """Return the images that the network saw, what its decoder rebuilt, the residual and the mask, row by row.

    Each row has one scale for seen and rebuilt, and the residual one that is symmetric about 0; pixels without a value
    are blank in all but the rebuilt image, which has no gaps.

    Parameters
    ----------
    found : Rebuilt
        From :func:`fulgor.models.rebuilding.rebuild`.
    heading : str
        The line above.
    """
    rows = len(found.names)
    height = 1.86 * rows + 0.8
    figure = Figure(figsize=(8.6, height), facecolor=PAPER)
    figure.suptitle(heading, x=0.06, y=0.985, ha="left", va="top", fontsize=14, fontweight="bold", color=INK)
    frame = {"left": 0.06, "right": 0.99, "bottom": 0.015, "top": 1 - 0.72 / height, "wspace": 0.23, "hspace": 0.06}
    grid = figure.subplots(rows, len(_COLUMNS), squeeze=False, gridspec_kw=frame)
    for number, name in enumerate(found.names):
        _row(figure, list(grid[number]), found, number)
        grid[number][0].set_ylabel(name, fontsize=12, color=INK)
    for axes, text in zip(grid[0], _COLUMNS, strict=True):
        axes.set_title(text, fontsize=12, color=INK, pad=5)
    return figure


def _row(figure: Figure, axes: list[Axes], found: Rebuilt, number: int) -> None:
    seen, rebuilt = (np.asarray(part[number], np.float64) for part in (found.seen, found.rebuilt))
    valid = found.valid[number]
    known = np.where(valid, seen, np.nan)
    low, high = _range(seen[valid])
    reach = max(_LEAST, float(np.quantile(np.abs(rebuilt - seen)[valid], 0.995))) if valid.any() else _LEAST
    for place, image in zip(axes[:2], (known, rebuilt), strict=True):
        shown = _image(place, image, "gray", low, high)
    _bar(figure, axes[1], shown)
    _bar(figure, axes[2], _image(axes[2], known - rebuilt, "RdBu_r", -reach, reach))
    _image(axes[3], valid.astype(np.float64), "gray", 0.0, 1.0)
    axes[3].text(
        0.97, 0.03, f"{valid.mean():.0%} valid", transform=axes[3].transAxes, ha="right", va="bottom", fontsize=9,
        color=INK, bbox={"facecolor": PAPER, "alpha": 0.8, "linewidth": 0, "pad": 1.5},
    )  # fmt: skip


def _range(values: Pixels) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = (float(part) for part in np.quantile(values, (0.01, 0.998)))
    return low, max(high, low + 2 * _LEAST)


def _image(axes: Axes, pixels: Pixels, colours: str, low: float, high: float) -> AxesImage:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=FAINT, linewidth=0.6)
    return axes.imshow(
        np.ma.masked_invalid(pixels), cmap=colormaps[colours].with_extremes(bad=_MISSING), vmin=low, vmax=high,
        origin="lower", interpolation="nearest",
    )  # fmt: skip


def _bar(figure: Figure, axes: Axes, image: AxesImage) -> None:
    """Put a thin scale into the image's right edge."""
    inset = axes.inset_axes((1.012, 0.0, 0.03, 1.0))
    bar = figure.colorbar(image, cax=inset, ticks=MaxNLocator(5, steps=[1, 2, 5, 10]))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=INK, length=2, pad=1.5)
