"""Windows of LEELA pulses: beside what the decoder rebuilds of them, and as examples of a kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from fulgor.plots.style import FAINT, INK, PAPER, Look, key, looks, tidy, title
from fulgor.preprocessing.leela import NOMINAL_INTERVAL_NS

if TYPE_CHECKING:  # torch is slow to import
    from fulgor.models.leela.rebuilding import RebuiltPulses

__all__ = ["pulse_gallery", "rebuilt_pulses"]

_SEEN, _REBUILT = Look("#22262b", "o"), Look("#D55E00", "s")
_REACH = 1.15  # of an axis, in units of the largest value


def rebuilt_pulses(found: RebuiltPulses, snr: Sequence[float], heading: str = "Pulses rebuilt") -> Figure:
    """Return each pulse's window with what the decoder rebuilds of it, and the residual beside it.

    Parameters
    ----------
    found : RebuiltPulses
        From :func:`fulgor.models.leela.rebuilding.rebuild`: at least one pulse.
    snr : sequence of float
        Of each pulse: the residual of a good rebuilding is noise of 1 / SNR.
    heading : str
        The line above.
    """
    rows = len(found.seen)
    figure = Figure(figsize=(10, 1.0 + 2.0 * rows), layout="constrained", facecolor=PAPER)
    grid = figure.subplots(rows, 2, sharex=True, sharey="row", squeeze=False)
    for number, (left, right) in enumerate(grid):
        seen = np.where(found.inside[number], found.seen[number], np.nan)
        left.plot(_milliseconds(seen), seen, color=_SEEN.colour, linewidth=1)
        left.plot(_milliseconds(seen), found.rebuilt[number], color=_REBUILT.colour, linewidth=1.2)
        right.axhspan(-1 / snr[number], 1 / snr[number], color="#e3e7ec", linewidth=0)
        right.plot(_milliseconds(seen), seen - found.rebuilt[number], color=_SEEN.colour, linewidth=1)
        left.set_ylabel(f"pulse {number + 1}")
        _word(right, f"reconstruction {found.error[number]:.2f}, SNR {snr[number]:.1f}")
        reach = _REACH * max(1.0, float(np.abs(found.seen[number]).max()))  # a stronger pulse may be near
        for axes in (left, right):
            tidy(axes)
            axes.set_ylim(-reach, reach)
    title(grid[0, 0], heading)
    key(grid[0, 0], [("window, in units of its envelope's peak", _SEEN), ("rebuilt", _REBUILT)])
    title(grid[0, 1], "Residual", "window - rebuilt; grey: the noise of the chunk")
    for axes in grid[-1]:
        axes.set_xlabel("time from the envelope's peak (ms)")
    return figure


def pulse_gallery(
    examples: Mapping[str, NDArray[np.float32]], notes: Mapping[str, str], heading: str = "Examples"
) -> Figure:
    """Return examples of kinds of pulses, a row for each kind.

    Parameters
    ----------
    examples : mapping of str to ndarray
        Windows (examples, 256) of each kind, in units of the pulse's envelope.
    notes : mapping of str to str
        What is known of each kind.
    heading : str
        The line above.
    """
    columns = max(len(windows) for windows in examples.values())
    height = 1.75 * len(examples) + 1.1
    layout = ConstrainedLayoutEngine(hspace=0.14, rect=(0, 0, 1, 1 - 0.6 / height))  # room for heading and notes
    figure = Figure(figsize=(1.9 * columns + 0.6, height), layout=layout, facecolor=PAPER)
    figure.text(0.01, 1 - 0.15 / height, heading, va="top", fontsize=14, fontweight="bold", color=INK)
    grid = figure.subplots(len(examples), columns, sharex=True, sharey=True, squeeze=False)
    for row, (name, look) in zip(grid, looks(examples).items(), strict=True):
        for axes, window in zip(row, examples[name], strict=False):
            axes.plot(_milliseconds(window), window, color=look.colour, linewidth=1)
        for axes in row[len(examples[name]) :]:
            axes.set_axis_off()
        for axes in row:
            tidy(axes)
            axes.tick_params(labelsize=9)
            axes.set_ylim(-_REACH, _REACH)
        note = row[0].annotate(
            f"{name}: {notes[name]}", (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points", fontsize=11,
            color=INK,
        )  # fmt: skip
        note.set_in_layout(False)  # it spans several columns
    for axes in grid[-1]:
        axes.set_xlabel("ms", fontsize=10)
    return figure


def _milliseconds(window: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the times of a window's samples from its peak; windows are sampled alike, whatever their chunks."""
    steps = np.arange(len(window), dtype=np.float64) - len(window) // 2
    return steps * (NOMINAL_INTERVAL_NS / 1e6)


def _word(axes: Axes, text: str) -> None:
    axes.text(0.99, 0.97, text, transform=axes.transAxes, ha="right", va="top", fontsize=10, color=FAINT)
