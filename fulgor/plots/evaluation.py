"""How good a classifier is: confusion, reliability, ROC, and what more detections bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fulgor.models.evaluation.bootstrap import Interval
from fulgor.models.evaluation.metrics import Reliability, auroc, balanced_accuracy, reliability, roc
from fulgor.models.evaluation.result import Evaluation
from fulgor.models.evaluation.suite import by_detections as evaluations_by_detections
from fulgor.plots.files import write_figure
from fulgor.plots.style import FAINT, INK, PAPER, key, looks, tidy, title

__all__ = ["by_detections", "confusion_matrix", "reliability_diagram", "roc_curves", "save_pictures"]

_DPI = 110
_SHIFT = 0.06  # between methods at the same number of detections: bars of error must not cover each other


def save_pictures(found: Mapping[str, Evaluation], names: Sequence[str], folder: Path) -> None:
    """Write ``confusion.png``, ``reliability.png``, ``roc.png`` and, where measured, ``detections.png``.

    Parameters
    ----------
    found : mapping of str to Evaluation
        By name.
    names : sequence of str
        Methods to show; of the first also confusion and ROC.
    folder : Path
        Where to; it exists.

    Raises
    ------
    DiskFullError, SettingsError
        One of them cannot be written.
    """
    first = found[names[0]]
    counts = np.bincount(first.labels, minlength=len(first.classes))
    matrix = first.bootstrap().confusion(first.labels, first.predicted, len(first.classes))
    curves = {name: reliability(found[name].labels, found[name].probabilities) for name in names}
    pictures = {
        "confusion": confusion_matrix(matrix, first.classes, counts.tolist(), first.name),
        "roc": roc_curves(_one_against_rest(first), f"{first.name}: each class against the rest"),
        "reliability": reliability_diagram(curves),
    }
    rows = {name: evaluations_by_detections(found, name) for name in names}
    alerts = {len(one) for row in rows.values() for one in row.values()}
    if len(alerts) == 1:  # else a model left out what it was trained on: not the same alerts
        shown = {name: {n: e.figure(balanced_accuracy) for n, e in row.items()} for name, row in rows.items()}
        pictures["detections"] = by_detections(shown, alerts.pop())
    for name, figure in pictures.items():
        write_figure(figure, folder / f"{name}.png", dpi=_DPI)


def confusion_matrix(
    matrix: Sequence[Sequence[Interval]], classes: Sequence[str], counts: Sequence[int], heading: str = "Confusion"
) -> Figure:
    """Return a confusion matrix, each row in parts of its class, with 95 % intervals.

    Parameters
    ----------
    matrix : sequence of sequence of Interval
        Rows the truth, columns the prediction; NaN for a class that does not occur.
    classes : sequence of str
        Names.
    counts : sequence of int
        Alerts of each class.
    heading : str
        The line above.
    """
    figure = Figure(figsize=(6.6, 6.2), layout="constrained", facecolor=PAPER)
    axes = figure.subplots()
    values = np.array([[cell.value for cell in row] for row in matrix])
    axes.imshow(np.nan_to_num(values), cmap="Blues", vmin=0, vmax=1.25)
    for i, row in enumerate(matrix):
        for j, cell in enumerate(row):
            _cell(axes, i, j, cell)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), [f"{name}\n{count}" for name, count in zip(classes, counts, strict=True)])
    axes.set_xlabel("told")
    axes.set_ylabel("true class, alerts")
    tidy(axes)
    axes.grid(visible=False)
    title(axes, heading, "part of each class; 95 % intervals over objects")
    return figure


def reliability_diagram(curves: Mapping[str, Reliability], heading: str = "What a probability is worth") -> Figure:
    """Return how often the likeliest class is right against how likely it was said to be.

    Parameters
    ----------
    curves : mapping of str to Reliability
        By method; a point's area grows with its alerts.
    heading : str
        The line above.
    """
    figure, axes = _square(heading)
    known = looks(curves)
    for name, curve in curves.items():
        look = known[name]
        axes.plot(curve.confidence, curve.correct, color=look.colour, linewidth=1.6)
        size = 20 + 180 * np.sqrt(curve.count / curve.count.sum())
        axes.scatter(
            curve.confidence, curve.correct, s=size, c=look.colour, marker=look.marker, alpha=0.8, linewidths=0
        )
    axes.set_xlabel("probability of the likeliest class")
    axes.set_ylabel("part that is right")
    key(axes, [(f"{name}, ECE {curve.error:.2f}", known[name]) for name, curve in curves.items()])
    return figure


def roc_curves(
    curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64], float]],
    heading: str = "Each class against the rest",
) -> Figure:
    """Return ROC curves.

    Parameters
    ----------
    curves : mapping of str to tuple
        False and true positive rates, (points,) each, and the area, by class.
    heading : str
        The line above.
    """
    figure, axes = _square(heading)
    known = looks(curves)
    for name, (false, true, area) in curves.items():
        axes.plot(false, true, color=known[name].colour, linewidth=2, label=f"{name}, {area:.3f}")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.legend(loc="lower right", frameon=False, fontsize=11, labelcolor=INK, title="area")
    return figure


def by_detections(rows: Mapping[str, Mapping[int, Interval]], alerts: int, what: str = "balanced accuracy") -> Figure:
    """Return a figure against the number of detections that a history is truncated to.

    Parameters
    ----------
    rows : mapping of str to mapping of int to Interval
        By method, by number of detections.
    alerts : int
        How many there are; the same ones at every number.
    what : str
        The figure's name.
    """
    figure = Figure(figsize=(7, 4.8), layout="constrained", facecolor=PAPER)
    axes = figure.subplots()
    known = looks(rows)
    for place, (name, row) in enumerate(rows.items()):
        x = np.array(list(row)) + _SHIFT * (place - (len(rows) - 1) / 2)
        y = np.array([interval.value for interval in row.values()])
        bars = np.abs([[i.value - i.low, i.high - i.value] for i in row.values()]).T
        look = known[name]
        axes.errorbar(x, y, bars, color=look.colour, marker=look.marker, markersize=7, elinewidth=1.2, linewidth=1.6)
    axes.set_xticks(sorted({count for row in rows.values() for count in row}))
    axes.set_xlabel(f"detections at most, of the same {alerts} alerts")
    axes.set_ylabel(what)
    tidy(axes)
    title(axes, "What more detections bring")
    key(axes, known.items())
    return figure


def _one_against_rest(one: Evaluation) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64], float]]:
    """Return rates and area of each class that occurs."""
    curves = {}
    for number, name in enumerate(one.classes):
        positive, score = one.labels == number, one.probabilities[:, number]
        if positive.any() and not positive.all():
            curves[name] = (*roc(positive, score), float(auroc(positive, score)))
    return curves


def _cell(axes: Axes, i: int, j: int, cell: Interval) -> None:
    if np.isnan(cell.value):
        return
    colour = PAPER if cell.value > 0.6 else INK
    axes.text(j, i - 0.08, f"{cell.value:.2f}", ha="center", va="center", color=colour, fontsize=14)
    small = f"{cell.low:.2f}-{cell.high:.2f}"
    axes.text(j, i + 0.22, small, ha="center", va="center", color=colour, fontsize=9)


def _square(heading: str) -> tuple[Figure, Axes]:
    """Return axes from 0 to 1 with the diagonal."""
    figure = Figure(figsize=(6.4, 6.2), layout="constrained", facecolor=PAPER)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 4)))
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    tidy(axes)
    title(axes, heading)
    return figure, axes
