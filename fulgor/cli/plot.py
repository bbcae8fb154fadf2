"""``fulgor plot``: pictures of alerts, latents and trainings."""

from __future__ import annotations

import csv
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from fulgor.errors import ArchiveError, ModelError, SettingsError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fulgor.models.serving import LoadedModel
    from fulgor.plots.maps import Projection
    from fulgor.replay.trainingset import TrainingSet

__all__ = ["app"]

app = typer.Typer(help="Draw ZTF alerts, LEELA chunks, their latents, and trainings.", no_args_is_help=True)

ARCHIVE = typer.Argument(help="File, folder or tarball of alerts.")
MODEL = typer.Option(None, help="Folder of a model; by default the shipped one.")
CACHE = typer.Option(None, help="Where prepared alerts are kept; by default in the user's cache.")
UMAP = typer.Option(
    False, "--umap", help="Keep neighbours together (needs umap-learn) instead of principal components."
)

BATCH = 256
SHOWN = 5
DPI = 110


class Colour(StrEnum):
    """What a latent's colour tells."""

    told = "told"
    label = "label"
    anomaly = "anomaly"


class Latent(StrEnum):
    """Which of the two latents."""

    object = "object"
    stamp = "stamp"


class _Scored(NamedTuple):
    """Prepared alerts, and what a model gives for them by the names of its outputs."""

    alerts: TrainingSet
    model: LoadedModel
    found: dict[str, NDArray[np.float32]]


@app.command()
def alert(
    archive: Path = ARCHIVE,
    candid: str = typer.Argument(help="Id of the alert."),
    model: Path = MODEL,
    out: Path = typer.Option(Path("alert.png"), help="Picture, PNG, PDF or SVG by its ending."),
    cache: Path = CACHE,
) -> None:
    """Draw an alert's stamps beside what the decoder rebuilds of them, with residual and mask."""
    import numpy as np

    from fulgor.models.card import read_card
    from fulgor.models.cuda import load_network
    from fulgor.models.rebuilding import rebuild
    from fulgor.models.serving import SHIPPED
    from fulgor.plots.reconstruction import reconstruction

    alerts = _prepared(archive, cache)
    found = np.flatnonzero(alerts.alerts == candid)
    if not len(found):
        raise ArchiveError(
            f"{archive} holds no alert {candid} that can be scored (the first are {_some(alerts.alerts.tolist())})"
        )
    folder = model or SHIPPED / "ztf"
    card = read_card(folder)
    place = int(found[0])
    rebuilt = rebuild(load_network(folder, card), {name: array[place] for name, array in alerts.arrays.items()})
    heading = f"{alerts.objects[place]}, alert {candid}: reconstruction {rebuilt.error:.3f} ({card['name']})"
    _save(reconstruction(rebuilt, heading), out)


@app.command()
def latents(
    archive: Path = ARCHIVE,
    model: Path = MODEL,
    colour: Colour = typer.Option(Colour.told, help="By the class that the model tells, by label, or by anomaly."),
    labels: Path = typer.Option(
        None, help="Table with columns candid and label; by default labels.csv in the archive."
    ),
    latent: Latent = typer.Option(Latent.object, help="That of the object or that of the stamps."),
    umap: bool = UMAP,
    out: Path = typer.Option(Path("latents.png"), help="Picture, PNG, PDF or SVG by its ending."),
    cache: Path = CACHE,
) -> None:
    """Draw the latents of an archive's alerts on a plane, coloured by class or by anomaly."""
    from fulgor.plots.maps import anomaly_map, latent_map

    scored = _scored(archive, model, cache)
    rows = scored.found["latent" if latent is Latent.object else "stamp_latent"]
    plane = _plane(rows, umap=umap)
    if colour is Colour.anomaly:
        _save(anomaly_map(plane, scored.found["anomaly"]), out)
        return
    names = list(scored.model.classes)
    if colour is Colour.told:
        classes = [names[k] for k in scored.found["probabilities"].argmax(axis=1).tolist()]
    else:
        classes = _labels(scored.alerts, labels, archive, names)
        names = [*names, "no label"] if "no label" in classes else names
    _save(latent_map(rows, classes, names=names, plane=plane), out)


@app.command()
def path(
    archive: Path = ARCHIVE,
    object_id: str = typer.Argument(metavar="OBJECT", help="Id of an object of several alerts."),
    model: Path = MODEL,
    umap: bool = UMAP,
    out: Path = typer.Option(Path("path.png"), help="Picture, PNG, PDF or SVG by its ending."),
    cache: Path = CACHE,
) -> None:
    """Draw one object's latents through time, among all of the archive, and the probabilities of its classes."""
    import numpy as np

    from fulgor.plots.path import ObjectPath, latent_path

    scored = _scored(archive, model, cache)
    which = np.flatnonzero(scored.alerts.objects == object_id)
    if len(which) < 2:
        names, counts = np.unique(scored.alerts.objects, return_counts=True)
        several = names[np.argsort(-counts, kind="stable")][: int((counts > 1).sum())].tolist()
        there = f"those of most alerts are {_some(several)}" if several else "no object of this archive has"
        raise ArchiveError(f"{archive} holds {len(which)} alerts of {object_id}, a path needs two: {there}")
    times = scored.alerts.times_ms[which]
    days = (times - times.min()) / 86_400_000
    plane = _plane(scored.found["latent"], umap=umap)
    drawn = ObjectPath(which, days, scored.found["probabilities"][which])
    _save(latent_path(plane, drawn, scored.model.classes, f"{object_id} through time"), out)


@app.command()
def curves(
    folder: Path = typer.Argument(help="Folder of a model, as 'fulgor train ztf' writes it."),
    out: Path = typer.Option(Path("curves.png"), help="Picture, PNG, PDF or SVG by its ending."),
) -> None:
    """Draw the losses of a training, also of one that is still running."""
    from fulgor.plots.training import training_curves

    table = folder / "curves.csv"
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = [(float(row["training_loss"]), float(row["validation_loss"])) for row in csv.DictReader(file)]
    except FileNotFoundError as error:
        raise ModelError(
            f"{folder} has no curves.csv: 'fulgor train ztf' writes it there after each pass; "
            "shipped and tuned models have none"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{table} cannot be read ({error!r}); the next pass of the training writes it anew") from error
    if not rows:
        raise ModelError(f"{table} holds no pass yet")
    training, validation = zip(*rows, strict=True)
    _save(training_curves(training, validation, f"Training of {folder.name}"), out)


def _prepared(archive: Path, cache: Path | None) -> TrainingSet:
    from fulgor.cli.train_ztf import read
    from fulgor.consumer.settings import load_settings
    from fulgor.streams.registry import instrument

    return read(instrument("ztf", load_settings({})), cache, archive, quiet=True)


def _scored(archive: Path, folder: Path | None, cache: Path | None) -> _Scored:
    """Return the alerts of an archive with what a model gives for them."""
    import numpy as np

    from fulgor.consumer.preparation import check_preparation
    from fulgor.consumer.settings import load_settings
    from fulgor.models.layout import INPUTS
    from fulgor.models.serving import SHIPPED, load
    from fulgor.streams.registry import instrument

    model = load(folder or SHIPPED / "ztf", "cpu")
    check_preparation(instrument("ztf", load_settings({})), model.preprocessing_hash)
    alerts = _prepared(archive, cache)
    parts = []
    for at in range(0, len(alerts), BATCH):
        some = {name: np.asarray(alerts.arrays[name][at : at + BATCH], np.float32) for name in INPUTS}
        parts.append(model.predict(some))
    return _Scored(alerts, model, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _plane(rows: NDArray[np.float32], *, umap: bool) -> Projection:
    from fulgor.plots.maps import principal_plane, umap_plane

    return umap_plane(rows) if umap else principal_plane(rows)


def _labels(alerts: TrainingSet, table: Path | None, archive: Path, names: list[str]) -> list[str]:
    """Return the label of each alert; what is no class of the model has none."""
    from fulgor.replay.labels import labels_from_table, table_beside

    known = labels_from_table(table or table_beside(archive))
    found = [known.get(one, "") for one in alerts.alerts.tolist()]
    if not set(found) & set(names):
        raise SettingsError(f"no alert of {archive} has a label that is one of {', '.join(names)}; check --labels")
    return [label if label in names else "no label" for label in found]


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _save(figure: Figure, out: Path) -> None:
    from fulgor.plots.files import write_figure

    write_figure(figure, out, dpi=DPI)
    typer.echo(str(out))
