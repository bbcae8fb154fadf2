"""``fulgor train --from-model``: a model of real alerts from one of simulated alerts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from fulgor.cli.progress import progress
from fulgor.cli.train_ztf import joined, read, read_labelled
from fulgor.errors import ModelError

if TYPE_CHECKING:
    from fulgor.models.adaptation import FineTuning
    from fulgor.models.dataset import Dataset
    from fulgor.models.evaluation.alerts import AlertSet
    from fulgor.models.evaluation.result import Evaluation
    from fulgor.models.evaluation.validation import Method
    from fulgor.models.training import TrainedModel
    from fulgor.models.ztf import ZtfNetwork

__all__ = ["Material", "Tuning", "material", "read_alerts", "tune_ztf", "tuning"]

COMPARED = ("metadata only", "metadata only, forest", "provenance only", "provenance only, forest")
"""Rulers that stand beside the figures on the card."""

REFERENCE = "public ZTF alerts of objects without a label, drawn by a seed, that no training saw"
"""What the alerts behind the percentiles are."""


def tune_ztf(
    archives: Sequence[Path], labels: Path | None, out: Path, base: Path, unlabelled: Sequence[Path], rehearse: Path, *,
    name: str, seed: int, cache: Path | None, history_stamps: bool = False,
) -> None:  # fmt: skip
    """Measure the tuning by cross-validation, tune on all labelled alerts, and write the model.

    The probabilities behind the figures are kept in the model's folder under ``evaluation``.

    Parameters
    ----------
    archives : sequence of Path
        Labelled real alerts.
    labels : Path or None
        Table for all of them; default: labels.csv in each.
    out, base : Path
        Folder of the new model, and of the model that it starts from.
    unlabelled : sequence of Path
        Real alerts without labels; those of the frozen score reference serve as such and nothing else.
    rehearse : Path
        Simulated alerts with labels.
    name, seed : str, int
        For the card; of every draw.
    cache : Path or None
        Where prepared alerts are kept.
    history_stamps : bool
        Whether the model is to take the stamp latents of earlier alerts.

    Raises
    ------
    ModelError
        The base was trained with another preparation.
    """
    from fulgor.models.adaptation import tuned_model
    from fulgor.models.staging import make_folder

    make_folder(out)
    alerts = read_alerts(archives, labels)
    method, reference, card, others = tuning(
        base, unlabelled, rehearse, set(alerts.objects.tolist()), seed=seed, cache=cache, history_stamps=history_stamps
    )
    measured = _measured(method, alerts)
    for one in measured.values():
        one.save(out / "evaluation")
    metrics = _metrics(measured.pop(method.name), list(measured.values()))
    model = tuned_model(method, alerts.dataset, reference, metrics)
    data = {
        "archives": [path.name for path in archives],
        "simulated": False,
        "alerts": len(alerts.labelled),
        "classes": alerts.dataset.counts(alerts.labelled),
        "base": {key: card[key] for key in ("name", "model_hash")},
        "unlabelled": others,
        "used": _used(alerts),
    }
    written = _written(model, alerts, reference, out, name, card["preprocessing_hash"], data)
    typer.echo(f"model {written['model_hash']} in {out}\n{_said(metrics)}")


class Tuning(NamedTuple):
    """How a model is tuned, and what stays out of it.

    Parameters
    ----------
    method : FineTuning
        As a method that can be measured.
    reference : Dataset
        Alerts of the frozen score reference.
    card : dict
        Of the base.
    others : int
        Unlabelled alerts that the tuning sees.
    """

    method: FineTuning
    reference: Dataset
    card: dict[str, Any]
    others: int


class Material(NamedTuple):
    """What a tuning is made of, beside the alerts that it is tuned on.

    Parameters
    ----------
    base : ZtfNetwork
        Where it starts.
    card : dict
        Of the base.
    reference : Dataset
        Alerts of the frozen score reference.
    others : Dataset
        Further alerts without labels.
    rehearsal : Dataset
        Labelled simulated ones.
    """

    base: ZtfNetwork
    card: dict[str, Any]
    reference: Dataset
    others: Dataset
    rehearsal: Dataset


def tuning(
    base: Path, unlabelled: Sequence[Path], rehearse: Path, measured: set[str], *,
    seed: int, cache: Path | None, history_stamps: bool = False,
) -> Tuning:  # fmt: skip
    """Return the tuning of a base model; parameters as those of :func:`tune_ztf`.

    Parameters
    ----------
    measured : set of str
        Objects that are labelled, or measured: none of them is among the unlabelled ones that the tuning sees.

    Raises
    ------
    ModelError
        The base was trained with another preparation.
    """
    from fulgor.models.adaptation import FineTuning
    from fulgor.models.finetuning import TuningConfig

    found = material(base, unlabelled, rehearse, measured, cache=cache)
    method = FineTuning(
        found.base, found.others, found.rehearsal, TuningConfig(seed=seed), history=history_stamps
    )  # fmt: skip
    return Tuning(method, found.reference, found.card, len(found.others))


def material(
    base: Path, unlabelled: Sequence[Path], rehearse: Path, measured: set[str], *, cache: Path | None
) -> Material:
    """Read what a tuning is made of; parameters and errors as those of :func:`tuning`."""
    from fulgor.consumer.settings import load_settings
    from fulgor.models.cuda import load_network
    from fulgor.models.layout import CLASSES
    from fulgor.streams.registry import instrument

    ztf = instrument("ztf", load_settings({}))
    card = _card(base, ztf.preprocessing_hash)
    more = joined([read(ztf, cache, path).dataset({}, CLASSES) for path in unlabelled])
    reference, others = _divided(more, measured)
    rehearsal = read_labelled(ztf, cache, rehearse, None)
    return Material(load_network(base, card), card, reference, others, rehearsal)


def _card(base: Path, preparation: str) -> dict[str, Any]:
    from fulgor.models.card import read_card

    card = read_card(base)
    if card["preprocessing_hash"] != preparation:
        raise ModelError(
            f"{base} was trained with preparation {card['preprocessing_hash']}, this program prepares as "
            f"{preparation}; train it again: fulgor train ztf --archive ... --out {base}"
        )
    return card


def read_alerts(archives: Sequence[Path], labels: Path | None) -> AlertSet:
    """Return the labelled alerts of archives, and tell what was left out."""
    from fulgor.models.evaluation.alerts import AlertSet
    from fulgor.replay.labelled import labelled_alerts

    left_out: Counter[str] = Counter()
    with progress("preparing") as show:
        alerts = AlertSet.gather(
            one for path in archives for one in labelled_alerts(path, labels, left_out=left_out, progress=show)
        )
    listed = "".join(f", {count} {reason}" for reason, count in sorted(left_out.items()))
    typer.echo(f"{len(alerts)} alerts, {len(alerts.labelled)} of them labelled{listed}")
    return alerts


def _divided(alerts: Dataset, measured: set[str]) -> tuple[Dataset, Dataset]:
    """Return the frozen reference's alerts, and the others; none is of an object that is measured."""
    import numpy as np

    from fulgor.models.evaluation.folds import reference_objects

    frozen = reference_objects()
    kept = [n for n, one in enumerate(alerts.objects.tolist()) if one in frozen]
    other = [n for n, one in enumerate(alerts.objects.tolist()) if one not in frozen and one not in measured]
    if not kept or not other:
        raise ModelError("--unlabelled must hold alerts of the frozen score reference and others; see docs/ruler.md")
    return alerts.part(np.array(kept)), alerts.part(np.array(other))


def _measured(method: FineTuning, alerts: AlertSet) -> dict[str, Evaluation]:
    """Return the evaluations of the tuning and of the rulers in the frozen folds, by name, the tuning's first."""
    from fulgor.models.evaluation.folds import outer_folds, splits
    from fulgor.models.evaluation.rulers import RULERS
    from fulgor.models.evaluation.validation import cross_validate

    folds = outer_folds(alerts.objects, alerts.labels)
    methods: list[Method] = [method, *(ruler for ruler in RULERS if ruler.name in COMPARED)]
    found: dict[str, Evaluation] = {}
    with progress("measuring") as show:
        for number, one in enumerate(methods, 1):
            found[one.name] = cross_validate(one, alerts, splits(folds))[""]
            show(number, len(methods))
    return found


def _metrics(ours: Evaluation, rulers: Sequence[Evaluation]) -> dict[str, Any]:
    """Return the figures for the card, those of the rulers beside them."""
    from fulgor.models.evaluation.metrics import balanced_accuracy, summary
    from fulgor.models.evaluation.result import paired

    figures = {one.name: summary(one.labels, one.probabilities, one.classes) for one in (ours, *rulers)}
    return {
        **figures[ours.name],
        "measured": "on real alerts, five frozen folds by object, each told by a model that saw none of its object",
        "balanced_accuracy_interval": str(ours.figure(balanced_accuracy)),
        "metadata_only": figures[COMPARED[0]],
        "rulers": {
            one.name: {
                "balanced_accuracy": str(one.figure(balanced_accuracy)),
                "gain": str(paired(balanced_accuracy, ours, one)),
            }
            for one in rulers
        },
    }


def _written(
    model: TrainedModel, alerts: AlertSet, reference: Dataset, out: Path, name: str, preparation: str, data: Any
) -> dict[str, Any]:
    """Write the model with its fitted scores; return its card."""
    import numpy as np

    from fulgor.models.export import save
    from fulgor.models.fitting import infer
    from fulgor.models.scores.attach import attach_scores
    from fulgor.models.staging import staged

    labelled = alerts.labelled
    held = infer(model.network, reference, np.arange(len(reference)))
    training = infer(model.network, alerts.dataset, labelled)
    with staged(out) as folder:
        save(model, folder, name=name, preprocessing_hash=preparation, data=data)
        return attach_scores(folder, training, alerts.labels[labelled], held, source=REFERENCE)


def _used(alerts: AlertSet) -> list[dict[str, str]]:
    """Return candid, object, label and origin of every labelled alert."""
    classes = alerts.dataset.classes
    return [
        {
            "candid": str(alerts.alerts[n].candid),
            "object": str(alerts.objects[n]),
            "label": classes[alerts.labels[n]],
            "origin": str(alerts.origins[n]),
        }
        for n in alerts.labelled.tolist()
    ]


def _said(metrics: Mapping[str, Any]) -> str:
    first = (
        f"real alerts, frozen folds by object: accuracy {metrics['accuracy']:.3f}, balanced "
        f"{metrics['balanced_accuracy_interval']}, macro F1 {metrics['macro_f1']:.3f} over {metrics['alerts']} alerts"
    )
    lines = [
        f"  {name}: balanced {figures['balanced_accuracy']}; gain over it {figures['gain']}"
        for name, figures in metrics["rulers"].items()
    ]
    return "\n".join([first, *lines])
