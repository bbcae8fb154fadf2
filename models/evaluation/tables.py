"""Markdown tables of evaluations. Whatever is printed of a model stands among its rulers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from fulgor.models.evaluation.bootstrap import Interval, Statistic
from fulgor.models.evaluation.metrics import (
    accuracy,
    balanced_accuracy,
    calibration_error,
    mean_auroc,
    mutual_information,
)
from fulgor.models.evaluation.result import Evaluation, paired

__all__ = [
    "BOGUS_NOTE",
    "clustering_table",
    "confusion_table",
    "detections_table",
    "differences_table",
    "figures_table",
    "gains_table",
    "recall_table",
]

BOGUS_NOTE: Final = (
    "'bogus' means drb < 0.1 in the survey's own packets: its recall is agreement with drb, not with the sky."
)

FIGURES: Final[dict[str, Statistic]] = {
    "accuracy": accuracy,
    "balanced accuracy": balanced_accuracy,
    "mean AUROC": mean_auroc,
    "ECE": calibration_error,
}


GAINS: Final[dict[str, Statistic]] = {name: FIGURES[name] for name in ("balanced accuracy", "accuracy", "mean AUROC")}

CLUSTERING: Final[dict[str, Statistic]] = {
    "clustering accuracy": accuracy,
    "balanced": balanced_accuracy,
    "NMI": mutual_information,
}


def figures_table(evaluations: Iterable[Evaluation]) -> str:
    """Return accuracy, balanced accuracy, one-against-rest AUROC and calibration error, with 95 % intervals."""
    rows = [
        (
            e.name,
            str(len(e)),
            str(len(set(e.objects.tolist()))),
            *(str(e.figure(figure)) for figure in FIGURES.values()),
        )
        for e in evaluations
    ]
    return _table(("method", "alerts", "objects", *FIGURES), rows)


def gains_table(
    ours: Iterable[Evaluation], rulers: Iterable[Evaluation], statistic: Statistic = balanced_accuracy
) -> str:
    """Return the paired differences of methods (rows) to others (columns); **bold** where it is a gain."""
    columns = list(rulers)
    rows = [(e.name, *(_gain(paired(statistic, e, r)) if e is not r else "-" for r in columns)) for e in ours]
    return _table(("balanced accuracy less that of", *(r.name for r in columns)), rows)


def differences_table(ours: Evaluation, others: Iterable[Evaluation]) -> str:
    """Return by how much a method is above others (rows), paired; **bold** where it is a gain.

    Each is compared on the alerts and in the classes of the other, see :meth:`Evaluation.as_classes`.
    """
    rows = []
    for other in others:
        same = ours.as_classes(other.classes).part(other.ids)
        rows.append((other.name, str(len(other)), *(_gain(paired(figure, same, other)) for figure in GAINS.values())))
    return _table((f"{ours.name} less", "alerts", *GAINS), rows)


def clustering_table(evaluations: Iterable[Evaluation]) -> str:
    """Return clustering accuracy, its mean over the classes, and normalised mutual information of clusterings.

    Each cluster is called by the class that training alerts gave it.
    """
    rows = [(e.name, str(len(e)), *(str(e.figure(figure)) for figure in CLUSTERING.values())) for e in evaluations]
    return _table(("clustering", "alerts", *CLUSTERING), rows)


def recall_table(evaluations: Iterable[Evaluation]) -> str:
    """Return the recall of each class with its interval over objects."""
    listed = list(evaluations)
    rows = []
    for e in listed:
        recall = e.bootstrap().recall(e.labels, e.predicted, len(e.classes))
        rows.append((e.name, *map(_rate, recall)))
    return _table(("recall", *(listed[0].classes if listed else ())), rows)


def confusion_table(evaluation: Evaluation) -> str:
    """Return the confusion matrix in parts of the true class, with intervals over objects; rows are the truth."""
    matrix = evaluation.bootstrap().confusion(evaluation.labels, evaluation.predicted, len(evaluation.classes))
    count = np.bincount(evaluation.labels, minlength=len(evaluation.classes))
    objects = [len(set(evaluation.objects[evaluation.labels == k].tolist())) for k in range(len(evaluation.classes))]
    rows = [
        (f"{name} ({count[k]} alerts, {objects[k]} objects)", *map(_rate, matrix[k]))
        for k, name in enumerate(evaluation.classes)
        if count[k]
    ]
    return _table(("truth \\ told", *evaluation.classes), rows)


def detections_table(found: Mapping[str, Mapping[int, Evaluation]], statistic: Statistic = balanced_accuracy) -> str:
    """Return a figure against the number of detections, for methods by name, each on the same alerts throughout."""
    counts = sorted({count for row in found.values() for count in row})
    rows = [
        (
            name,
            str(len(next(iter(row.values())))),
            *(str(row[c].figure(statistic)) if c in row else "-" for c in counts),
        )
        for name, row in found.items()
        if row
    ]
    return _table(("detections at most", "alerts", *map(str, counts)), rows)


def _gain(difference: Interval) -> str:
    text = f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    return f"**{text}**" if difference.is_gain else text


def _rate(interval: Interval) -> str:
    return "-" if math.isnan(interval.value) else f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
