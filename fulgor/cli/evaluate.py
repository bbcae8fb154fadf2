"""``fulgor evaluate``: models on labelled alerts, with the rulers that they must beat beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fulgor.cli.progress import progress
from fulgor.errors import ModelError, SettingsError

if TYPE_CHECKING:
    from fulgor.models.evaluation.alerts import AlertSet
    from fulgor.models.evaluation.result import Evaluation
    from fulgor.models.evaluation.suite import Suite

__all__ = ["evaluate"]


def evaluate(
    stream: str = typer.Argument(help="Instrument: ztf."),
    archive: Path = typer.Option(help="File, folder or tarball of labelled alerts."),
    labels: Path = typer.Option(
        None, help="Table with columns candid and label, and origin where known; by default labels.csv in the archive."
    ),
    model: list[Path] = typer.Option([], help="Folder of a model; several are compared. By default the shipped one."),
    tuned_from: Path = typer.Option(
        None, help="Measure what `fulgor train --from-model` makes of this model: a tuned one for each fold."
    ),
    unlabelled: list[Path] = typer.Option([], help="With --tuned-from: more real alerts, without labels."),
    rehearse: Path = typer.Option(None, help="With --tuned-from: a labelled simulated archive, as a reminder."),
    cache: Path = typer.Option(None, help="Where prepared alerts are kept; by default in the user's cache."),
    seed: int = typer.Option(0, min=0, help="With --tuned-from: of every draw."),
    out: Path = typer.Option(Path("evaluation-ztf"), help="Folder for probabilities, tables and pictures."),
    groups: bool = typer.Option(True, help="Measure metadata on nights and origins left out of their training, too."),
    pictures: bool = typer.Option(True, help="Draw confusion, reliability, ROC and the use of more detections."),
    resume: bool = typer.Option(False, help="Measure only what an earlier run has not left in --out."),
) -> None:
    """Measure models on labelled alerts, beside what metadata and provenance alone tell; print Markdown tables.

    The rulers are trained here, on the same alerts, each told by a fit that saw nothing of its object. Alerts of
    objects that a model's card names as trained on are left out of that model's figures: of a model that was tuned
    on all of them, such as the shipped ztf, nothing would be left, and --tuned-from measures how it was made.
    """
    if stream != "ztf":
        raise SettingsError(f"there is no evaluation for stream {stream!r}; it exists for ztf")
    if find_spec("sklearn") is None:
        raise SettingsError("evaluating needs scikit-learn: pip install 'fulgor[train]'")
    if tuned_from and (rehearse is None or not unlabelled):
        raise SettingsError("--tuned-from needs --unlabelled and --rehearse as well, see `fulgor evaluate --help`")
    from fulgor.models.evaluation.report import load_folder, report
    from fulgor.models.evaluation.suite import Suite, is_method
    from fulgor.models.serving import SHIPPED

    alerts = _read(archive, labels)
    known = load_folder(out) if resume and any(out.glob("*.npz")) else {}
    suite = Suite(alerts, lambda name: typer.echo(f"measuring: {name}", err=True), known)
    tuned = _tuned(suite, tuned_from, unlabelled, rehearse, cache, seed) if tuned_from else ()
    models = _models(suite, model or ([] if tuned_from else [SHIPPED / stream]))
    measured: dict[str, Evaluation] = {}
    for one in chain(tuned, models, suite.rulers(groups=groups)):
        one.save(out)  # at once: a long evaluation that is stopped leaves what it has
        measured[one.name] = one
    names = [name for name in measured if is_method(name)]
    text = f"{_what(archive, alerts)}\n\n{report(measured, names)}"
    (out / "tables.md").write_text(text + "\n", encoding="utf-8")
    typer.echo(text)
    if pictures:
        from fulgor.plots.evaluation import save_pictures

        save_pictures(measured, [names[0], "metadata only"], out)


def _read(archive: Path, labels: Path | None) -> AlertSet:
    from fulgor.models.evaluation.alerts import AlertSet
    from fulgor.replay.labelled import labelled_alerts

    left_out: Counter[str] = Counter()
    with progress("preparing") as show:
        alerts = AlertSet.gather(labelled_alerts(archive, labels, left_out=left_out, progress=show))
    listed = "".join(f", {count} {reason}" for reason, count in sorted(left_out.items()))
    typer.echo(f"{len(alerts)} alerts, {len(alerts.labelled)} of them labelled{listed}", err=True)
    if not len(alerts.labelled):
        raise ModelError(f"no alert of {archive} has a label that is one of {', '.join(alerts.dataset.classes)}")
    return alerts


def _tuned(
    suite: Suite, base: Path, unlabelled: list[Path], rehearse: Path, cache: Path | None, seed: int
) -> Iterator[Evaluation]:
    """Yield the evaluations of a model that is tuned anew for each fold, without the alerts that it is asked about."""
    import torch

    from fulgor.cli.tune_ztf import tuning

    torch.set_num_threads(1)  # the figures are those of one thread
    method = tuning(base, unlabelled, rehearse, set(suite.alerts.objects.tolist()), seed=seed, cache=cache).method
    yield from suite.measure(method, groups=False)


def _models(suite: Suite, folders: list[Path]) -> Iterator[Evaluation]:
    """Yield the evaluations of models, called by the names on their cards."""
    from fulgor.models.evaluation.served import FixedModel
    from fulgor.models.serving import load
    from fulgor.preprocessing.ztf import DEFAULT

    for folder in folders:
        served = load(folder, "cpu")
        if served.preprocessing_hash != DEFAULT.content_hash:
            raise ModelError(
                f"{folder} was trained with preparation {served.preprocessing_hash}, this program prepares as "
                f"{DEFAULT.content_hash}; train it again with `fulgor train ztf`"
            )
        predictor = FixedModel(served)
        index = predictor.unseen(suite.alerts)
        if not len(index):
            raise ModelError(f"{folder} was trained on every labelled object of this archive; give other alerts")
        name = f"{served.card['name']} {served.model_hash[:8]}"
        yield from suite.measure_fixed(name, predictor, index)


def _what(archive: Path, alerts: AlertSet) -> str:
    counts = alerts.dataset.counts(alerts.labelled)
    classes = ", ".join(f"{counts[name]} {name}" for name in alerts.dataset.classes)
    objects = len(set(alerts.objects[alerts.labelled].tolist()))
    return f"{archive.name}: {len(alerts.labelled)} labelled alerts of {objects} objects ({classes})."
