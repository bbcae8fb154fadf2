"""How a training went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fulgor.plots.style import FAINT, INK, PAPER, Look, key, tidy, title

__all__ = ["training_curves"]

_TRAINING, _VALIDATION = Look("#0072B2", "o"), Look("#D55E00", "s")
_LOG_FROM = 10.0  # times the least loss, at which the first passes would flatten the rest


def training_curves(training: Sequence[float], validation: Sequence[float], heading: str = "Training") -> Figure:
    """Return both losses against the number of the pass; the pass that was kept is marked.

    Parameters
    ----------
    training, validation : sequence of float
        Loss after each pass, from the first.
    heading : str
        The line above.
    """
    figure = Figure(figsize=(7, 4.6), layout="constrained", facecolor=PAPER)
    axes = figure.subplots()
    passes = np.arange(1, len(training) + 1)
    for losses, look in ((training, _TRAINING), (validation, _VALIDATION)):
        axes.plot(passes, losses, color=look.colour, marker=look.marker, markersize=5, linewidth=1.6)
    known: NDArray[np.floating[Any]] = np.where(np.isfinite(validation), validation, np.inf)
    best = int(np.argmin(known))
    axes.axvline(passes[best], color=FAINT, linewidth=1, linestyle=(0, (4, 4)), zorder=0)
    late = 2 * best >= len(passes)  # the text goes where there is room
    axes.annotate(
        f"kept: pass {passes[best]}, {validation[best]:.3g}", (float(passes[best]), 1), (-6 if late else 6, -4),
        ha="right" if late else "left", va="top", xycoords=("data", "axes fraction"), textcoords="offset points",
        fontsize=11, color=INK,
    )  # fmt: skip
    both = np.array([*training, *validation], dtype=np.float64)
    both = both[np.isfinite(both)]
    if both.size and both.min() > 0 and both.max() > _LOG_FROM * both.min():
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("pass over the training alerts")
    axes.set_ylabel("loss")
    tidy(axes)
    title(axes, heading)
    key(axes, [("training", _TRAINING), ("validation", _VALIDATION)])
    return figure
