"""``fulgor train ztf``: a model from labelled archives, from the beginning or from where it was cut short."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fulgor.cli.progress import progress

if TYPE_CHECKING:
    from fulgor.consumer.stream import Stream
    from fulgor.models.dataset import Dataset
    from fulgor.models.fitting import TrainingConfig
    from fulgor.models.passes import Epoch
    from fulgor.models.training import TrainedModel
    from fulgor.replay.trainingset import TrainingSet

__all__ = ["joined", "read", "read_labelled", "train_ztf"]

POSITIONS = ("ra", "dec", "ecl_long", "gal_long")
"""Features that the network does not see: they tell where a survey looked, not what it found there."""

NAMED = 5
"""Broken messages that are named on the screen."""


def train_ztf(
    archives: Sequence[Path], labels: Path | None, out: Path, config: TrainingConfig, *,
    name: str, simulated: bool, device: str, cache: Path | None, history_stamps: bool = False,
) -> None:  # fmt: skip
    """Train a ZTF model, export it and write its card; started by torchrun, several processes train it together.

    Parameters
    ----------
    archives : sequence of Path
        Labelled alerts.
    labels : Path or None
        Table for all archives; default: labels.csv in each.
    out : Path
        Folder of the model, its checkpoint and its curves.
    config : TrainingConfig
        Sizes and schedule; the positions are hidden from the network.
    name, simulated : str, bool
        For the card.
    device : str
        auto, cpu or cuda.
    cache : Path or None
        Where prepared alerts are kept.
    history_stamps : bool
        Whether the model is to take the stamp latents of earlier alerts.
    """
    from fulgor.consumer.settings import load_settings
    from fulgor.models.device import choose_for_torch
    from fulgor.models.distributed import launched
    from fulgor.models.export import save
    from fulgor.models.finetuning import LOOKING_BACK
    from fulgor.models.staging import make_folder, staged
    from fulgor.models.training import train
    from fulgor.preprocessing.ztf import FEATURE_NAMES
    from fulgor.streams.registry import instrument

    ztf = instrument("ztf", load_settings({}))
    config = replace(config, ignored=tuple(FEATURE_NAMES.index(feature) for feature in POSITIONS))
    preparation, history = ztf.preprocessing_hash, replace(LOOKING_BACK, seed=config.seed)
    with launched(chosen := choose_for_torch(device)) as ranks, progress("training") as show:

        def told(epoch: Epoch) -> None:
            if ranks.first:
                show(epoch.number, epoch.epochs)

        make_folder(out)
        with ranks.first_before_others():  # it prepares the archives, the others open what it has left
            dataset = joined([read_labelled(ztf, cache, path, labels, quiet=not ranks.first) for path in archives])
        model = train(
            dataset, config, told, folder=out, preparation=preparation, device=ranks.device(chosen),
            history=history if history_stamps else None, ranks=ranks,
        )  # fmt: skip
    if not ranks.first:
        return
    data: dict[str, Any] = {
        "archives": [path.name for path in archives],
        "simulated": simulated,
        "alerts": len(dataset),
        "classes": {label: int((dataset.labels == k).sum()) for k, label in enumerate(dataset.classes)},
    }
    with staged(out) as folder:
        save(model, folder, name=name, preprocessing_hash=preparation, data=data)
        card = _scored(model, dataset, config.seed, folder, f"held out of {', '.join(data['archives'])}")
    typer.echo(f"model {card['model_hash']} in {out}\n{_said(card['metrics'], simulated=simulated)}")


def _said(metrics: Mapping[str, Any], *, simulated: bool) -> str:
    return (
        f"{'simulated' if simulated else 'real'} alerts, held out by object: accuracy {metrics['accuracy']:.3f}, "
        f"balanced {metrics['balanced_accuracy']:.3f}, macro F1 {metrics['macro_f1']:.3f} over {metrics['alerts']} "
        f"alerts (metadata alone: {metrics['metadata_only']['accuracy']:.3f})"
    )


def _scored(model: TrainedModel, dataset: Dataset, seed: int, out: Path, source: str) -> dict[str, Any]:
    """Fit the anomaly scores to the latents of the training part, and return the card."""
    from fulgor.models.fitting import infer
    from fulgor.models.scores.attach import attach_scores
    from fulgor.models.training import PARTS

    parts = dataset.split(PARTS, seed)
    training, reference = (infer(model.network, dataset, parts[part]) for part in ("train", "reference"))
    return attach_scores(out, training, dataset.labels[parts["train"]], reference, source=source, seed=seed)


def read(stream: Stream, cache: Path | None, archive: Path, *, quiet: bool = False) -> TrainingSet:
    """Return the prepared alerts of an archive, and tell what was left out."""
    from fulgor.replay.archive import open_archive
    from fulgor.replay.trainingset import prepare_set

    opened = open_archive(archive)
    with progress(f"preparing {archive.name}") as show:
        found = prepare_set(opened, stream, cache or _user_cache(), lambda done: show(done, opened.count))
    if quiet:
        return found
    listed = "".join(f", {count} {reason}" for reason, count in sorted(found.left_out.items()))
    typer.echo(f"{len(found)} alerts from {archive}{listed}")
    for broken in found.broken[:NAMED]:
        typer.echo(f"  left out: {broken}", err=True)
    return found


def read_labelled(
    stream: Stream, cache: Path | None, archive: Path, table: Path | None, *, quiet: bool = False
) -> Dataset:
    """Return the prepared alerts of an archive with the labels of a table."""
    from fulgor.models.layout import CLASSES
    from fulgor.replay.labels import labels_from_table, table_beside

    known = labels_from_table(table or table_beside(archive))
    return read(stream, cache, archive, quiet=quiet).dataset(known, CLASSES)


def joined(parts: Sequence[Dataset]) -> Dataset:
    """Return the alerts of several archives."""
    first, *rest = parts
    for dataset in rest:
        first = first.joined(dataset)
    return first


def _user_cache() -> Path:
    """Return where prepared alerts are kept unless told otherwise; it can be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fulgor" / "prepared"
