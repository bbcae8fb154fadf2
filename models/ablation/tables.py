"""Markdown tables of the runs: simulated and real alerts apart, each row beside the base."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ModelError
from fulgor.models.ablation.configurations import BASE, CONFIGURATIONS
from fulgor.models.ablation.queue import Result
from fulgor.models.evaluation.bootstrap import Bootstrap, Floats, Interval, Labels, Statistic
from fulgor.models.evaluation.metrics import accuracy, balanced_accuracy, mean_auroc
from fulgor.models.evaluation.result import Evaluation

__all__ = ["KINDS", "report", "table"]

KINDS = {
    "simulated": "Simulated alerts, held out by object",
    "real": "Real alerts, inner folds",
}
"""Heads of the tables."""

HEAD = (
    "factor", "configuration", "seeds", "weights", "seconds", "accuracy", "mean AUROC", "balanced accuracy",
    "spread over seeds", "less that of the base",
)  # fmt: skip


def report(results: Iterable[Result], rulers: Iterable[Evaluation] = ()) -> str:
    """Return both tables; the rulers are evaluations of the same real alerts."""
    listed = list(results)
    beside = {"real": list(rulers)}
    parts = [(kind, [result[kind] for result in listed if kind in result]) for kind in KINDS]
    return "\n\n".join(f"### {KINDS[kind]}\n\n{table(found, beside.get(kind, []))}" for kind, found in parts if found)


def table(found: Iterable[Evaluation], rulers: Iterable[Evaluation] = ()) -> str:
    """Return one table: a row for each configuration over its seeds, one for each ruler.

    Figures are means over the seeds; their intervals, and those of the difference to the base, draw objects
    with replacement. The spread is the standard deviation over the seeds.

    Raises
    ------
    ModelError
        The runs are not of the same alerts, or the base is not among them.
    """
    runs = _by_configuration(found)
    if BASE.name not in runs:
        raise ModelError("the base has not been run; every other configuration stands beside it")
    base = runs[BASE.name]
    for one in (*(run for row in runs.values() for run in row), *(listed := list(rulers))):
        if one.ids.tolist() != base[0].ids.tolist():
            raise ModelError(f"{one.name!r} was measured on other alerts than the base; run it again")
    rows = [_row(runs[name], base) for name in sorted(runs, key=_place)]
    rows += [_row([ruler], base) for ruler in listed]
    return "\n".join(f"| {' | '.join(line)} |" for line in (HEAD, ["---"] * len(HEAD), *rows))


def _by_configuration(found: Iterable[Evaluation]) -> dict[str, list[Evaluation]]:
    def name(one: Evaluation) -> str:
        return str(one.about["configuration"])

    return {
        key: sorted(runs, key=lambda one: int(one.about["seed"]))
        for key, runs in groupby(sorted(found, key=name), name)
    }


def _place(name: str) -> tuple[int, str]:
    """Return where a configuration stands: those of the list first, in its order."""
    names = list(CONFIGURATIONS)
    return (names.index(name) if name in names else len(names)), name


def _row(runs: Sequence[Evaluation], base: Sequence[Evaluation]) -> list[str]:
    first, ours = runs[0], _stacked(runs)
    bootstrap = first.bootstrap()

    def figure(statistic: Statistic) -> Interval:
        return bootstrap.interval(_mean(statistic), first.labels, ours)

    about: dict[str, Any] = first.about
    each = [float(balanced_accuracy(one.labels, one.probabilities, None)) for one in runs]
    spread = f"{np.std(each, ddof=1):.3f}" if len(each) > 1 else "-"
    return [
        about.get("axis", "ruler"),
        about.get("configuration", first.name),
        str(len(runs)),
        f"{about['parameters']:,}" if "parameters" in about else "-",
        f"{np.mean([one.about['seconds'] for one in runs]):.0f}",
        f"{figure(accuracy).value:.3f}",
        f"{figure(mean_auroc).value:.3f}",
        str(figure(balanced_accuracy)),
        spread,
        "-" if runs is base else _difference(bootstrap, first.labels, ours, _stacked(base)),
    ]


def _difference(bootstrap: Bootstrap, labels: Labels, ours: Floats, theirs: Floats) -> str:
    found = bootstrap.difference(_mean(balanced_accuracy), labels, ours, theirs)
    text = f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    return f"**{text}**" if found.is_gain or found.high < 0 else text


def _stacked(runs: Sequence[Evaluation]) -> NDArray[np.float64]:
    """Return the probabilities (N, classes, seeds)."""
    return np.stack([one.probabilities for one in runs], axis=2)


def _mean(statistic: Statistic) -> Statistic:
    """Return the mean of a figure over the seeds, the last axis of the probabilities."""

    def over_seeds(labels: Labels, probabilities: Floats, weights: Floats | None) -> NDArray[np.float64]:
        each = [statistic(labels, probabilities[..., seed], weights) for seed in range(probabilities.shape[-1])]
        return np.asarray(np.mean(each, axis=0))

    return over_seeds
