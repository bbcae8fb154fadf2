"""``fulgor retrain``: the live model tuned on new labelled alerts, and compared with it on held-out ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fulgor.cli.output import JSON, emit_one
from fulgor.cli.progress import progress
from fulgor.cli.session import DATABASE, opened_by
from fulgor.errors import SettingsError

if TYPE_CHECKING:
    from fulgor.consumer.settings import Settings
    from fulgor.models.dataset import Dataset
    from fulgor.models.division import Division
    from fulgor.models.evaluation.alerts import AlertSet
    from fulgor.models.passes import Epoch
    from fulgor.models.retraining import HeldOut
    from fulgor.models.training import TrainedModel
    from fulgor.streams.registry import Instrument

__all__ = ["Split", "retrain"]


class Split(StrEnum):
    """What the comparison is to hold for: coming nights, or other objects of the same nights."""

    TIME = "time"
    OBJECT = "object"


def retrain(
    stream: str = typer.Argument(help="Instrument: ztf."),
    archive: Path = typer.Option(help="File, folder, tarball or recording of alerts."),
    labels: Path = typer.Option(None, help="Table with columns candid and label; by default labels.csv there."),
    from_model: str = typer.Option("live", help="Where to start: live, a folder, or a model's id, name or hash."),
    out: Path = typer.Option(Path("model-retrained"), help="Folder of the new model."),
    name: str = typer.Option(None, help="Name on its card; by default that of the one it started from."),
    split: Split = typer.Option(
        Split.TIME, help="Compare on new objects of later nights (time), or on new objects of any night (object)."
    ),
    simulated: bool = typer.Option(False, help="Whether the archive is simulated; the card says so."),
    epochs: int = typer.Option(12, min=1, max=10_000, help="Passes at most."),
    rate: float = typer.Option(1e-3, min=1e-6, max=1.0, help="Peak learning rate."),
    add: bool = typer.Option(False, "--add", help="Enter the new model into the database, as a candidate."),
    threads: int = typer.Option(1, min=1, max=256, help="Threads that torch computes with."),
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Tune a model on labelled alerts, compare it with the one it came from on objects that neither saw."""
    if stream != "ztf":
        raise SettingsError(f"there is no retraining for stream {stream!r}; it exists for ztf")
    import torch

    from fulgor.consumer.preparation import check_preparation
    from fulgor.consumer.settings import load_settings
    from fulgor.models.card import read_card
    from fulgor.models.division import divide
    from fulgor.models.staging import make_folder, staged
    from fulgor.streams.registry import instrument

    torch.set_num_threads(threads)
    settings = load_settings({"database": database})
    ztf = instrument(stream, settings)
    base = _folder(from_model, settings, ztf)
    card = read_card(base)
    check_preparation(ztf, card["preprocessing_hash"])
    alerts, left_out = _read(archive, labels, card["classes"])
    if left_out:
        typer.echo("left out: " + ", ".join(f"{count} {why}" for why, count in sorted(left_out.items())), err=True)
    dataset, division = alerts.dataset, divide(alerts.dataset, card, alerts.days if split is Split.TIME else None)
    make_folder(out)
    model, held_out = _tuned(dataset, division, base, card, epochs, rate)
    data: dict[str, Any] = {
        "archive": archive.name, "simulated": simulated, "alerts": len(dataset), "left_out": dict(left_out),
        "classes": {label: int((dataset.labels == k).sum()) for k, label in enumerate(dataset.classes)},
        "base": {key: card[key] for key in ("name", "model_hash")},
        "used": card.get("data", {}).get("used", []),
    }  # fmt: skip
    with staged(out) as folder:
        written = _save(
            model, dataset, division, folder, name or card["name"], ztf.preprocessing_hash, data,
            fitted="fitted_scores" in card,
        )  # fmt: skip
    if add:
        _add(out, settings, ztf)
    _report(written, division, held_out, out, simulated=simulated, as_json=as_json)


def _folder(which: str, settings: Settings, stream: Instrument) -> Path:
    """Return the folder of the model to start from."""
    from fulgor.cli.services import database_url, model_source
    from fulgor.storage.registry import find_model, live_model

    if Path(which).is_dir():
        return Path(which)
    url = database_url(settings)
    with opened_by(settings) as connection:
        live = which == "live"
        chosen = live_model(connection, stream.name) if live else find_model(connection, which, stream.name)
    return model_source(settings, stream, url).folder(chosen)


def _read(archive: Path, labels: Path | None, classes: list[str]) -> tuple[AlertSet, Counter[str]]:
    from fulgor.models.evaluation.alerts import AlertSet
    from fulgor.replay.labelled import labelled_alerts

    left_out: Counter[str] = Counter()
    with progress("preparing") as show:
        found = labelled_alerts(archive, labels, left_out=left_out, progress=show)
        return AlertSet.gather(found, classes), left_out


def _tuned(
    dataset: Dataset, division: Division, base: Path, card: dict[str, Any], epochs: int, rate: float
) -> tuple[TrainedModel, HeldOut]:
    from fulgor.models.cuda import load_network
    from fulgor.models.fitting import TrainingConfig
    from fulgor.models.retraining import retrain as tune

    with progress("training") as show:

        def told(epoch: Epoch) -> None:
            show(epoch.number, epoch.epochs)

        return tune(dataset, division, load_network(base, card), TrainingConfig(epochs=epochs, rate=rate), told)


def _save(
    model: TrainedModel, dataset: Dataset, division: Division, out: Path, name: str, preparation: str,
    data: dict[str, Any], *, fitted: bool,
) -> dict[str, Any]:  # fmt: skip
    """Write the model, with fitted scores where the one of before has them, and a sample of its reference's alerts."""
    import numpy as np

    from fulgor.models.drift import attach_sample
    from fulgor.models.export import save
    from fulgor.models.fitting import infer
    from fulgor.models.lookback import predict
    from fulgor.models.scores.attach import attach_scores
    from fulgor.models.serving import load

    save(model, out, name=name, preprocessing_hash=preparation, data=data)
    parts = division.parts
    held_out = parts["reference"]
    if fitted:
        training, reference = (infer(model.network, dataset, index) for index in (parts["train"], held_out))
        source = f"held out of {data['archive']}"
        return attach_scores(out, training, dataset.labels[parts["train"]], reference, source=source)
    outputs = predict(load(out, "cpu"), dataset, held_out)
    return attach_sample(out, np.asarray(outputs["latent"]), np.asarray(outputs["scores"]))


def _add(out: Path, settings: Settings, stream: Instrument) -> None:
    from fulgor.cli.services import database_url, model_source

    with opened_by(settings) as connection:
        model_source(settings, stream, database_url(settings)).add(connection, out)


def _report(
    card: dict[str, Any], division: Division, found: HeldOut, out: Path, *, simulated: bool, as_json: bool
) -> None:
    if as_json:
        split = {name: card["split"].get(name) for name in ("by", "tested_from")}
        emit_one({"model": card["model_hash"], "folder": str(out), "split": split, **asdict(found)}, as_json=True)
        return
    kind = "simulated" if simulated else "real"
    typer.echo(f"model {card['model_hash']} in {out}")
    typer.echo(str(division))
    typer.echo(f"on {found.alerts} {kind} alerts of {found.objects} objects that neither model saw, balanced accuracy:")
    typer.echo(f"  before {found.live}, after {found.candidate}; gain {found.gain}, 95 % intervals over objects")
    for label, (before, after) in found.recall.items():
        typer.echo(f"  {label}: {before:.3f} to {after:.3f}")
    worth = "it counts" if found.gain.is_gain else "it does not count: the interval holds 0 or less"
    typer.echo(f"the gain's interval says that {worth}")
