"""``fulgor train``: a model from an archive of labelled alerts."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fulgor.errors import ArchiveError, MalformedError, SettingsError

if TYPE_CHECKING:
    from fulgor.consumer.stream import Stream
    from fulgor.models.dataset import Dataset, Example
    from fulgor.models.fitting import Epoch
    from fulgor.models.training import TrainedModel

__all__ = ["train"]

LABELS = "labels.csv"


def train(
    stream: str = typer.Argument(help="Instrument: ztf or leela."),
    archive: Path = typer.Option(help="File, folder or tarball of alerts, such as `fulgor simulate` writes."),
    labels: Path = typer.Option(
        None, help="Table with columns candid (leela: chunk, flash) and label; by default labels.csv in the archive."
    ),
    out: Path = typer.Option(None, help="Folder of the new model; by default model-STREAM."),
    name: str = typer.Option(None, help="Name on the model's card; by default the stream's."),
    also: Path = typer.Option(None, help="Another labelled archive, which is only measured and told of on the card."),
    simulated: bool = typer.Option(True, help="Whether the archive is simulated; the card says so."),
    epochs: int = typer.Option(30, min=1, max=10_000, help="Passes at most."),
    seed: int = typer.Option(0, min=0, help="Fixes split, weights and every draw."),
    size: int = typer.Option(31, help="Stamp size inside the network: 63, 31 or 21."),
    width: int = typer.Option(4, min=1, max=64, help="Fields of the first layer."),
    threads: int = typer.Option(1, min=1, max=256, help="Threads that torch computes with."),
) -> None:
    """Train a model, export it for CPU and GPU, and write its card."""
    if stream not in ("ztf", "leela"):
        raise SettingsError(f"there is no training for stream {stream!r}; it exists for ztf and leela")
    _require("onnx", "onnxscript", "sklearn", "zuko", "coniferest")
    out, name = out or Path(f"model-{stream}"), name or stream
    if stream == "leela":
        from fulgor.cli.train_leela import train_leela

        train_leela(archive, labels, out, name=name, simulated=simulated, epochs=epochs, seed=seed, threads=threads)
        return
    import torch

    from fulgor.consumer.settings import load_settings
    from fulgor.models.export import save
    from fulgor.models.fitting import TrainingConfig
    from fulgor.models.training import train as fit
    from fulgor.streams.registry import instrument

    torch.set_num_threads(threads)
    ztf = instrument(stream, load_settings({}))
    dataset, left_out = _read(ztf, archive, labels)
    typer.echo(f"{len(dataset)} alerts from {archive}{_listed(left_out)}")
    config = TrainingConfig(size=size, width=width, epochs=epochs, seed=seed)
    with _progress("training", epochs) as show:
        model = fit(dataset, config, lambda epoch: show(epoch.number, _progress_note(epoch)))
    data: dict[str, Any] = {"archive": archive.name, "simulated": simulated, "alerts": len(dataset)}
    data["classes"] = {label: int((dataset.labels == k).sum()) for k, label in enumerate(dataset.classes)}
    if also is not None:
        data["also_measured"] = _measured(model, *_read(ztf, also, None), also)
    save(model, out, name=name, preprocessing_hash=ztf.preprocessing_hash, data=data, stream=stream)
    typer.echo(_report(_scored(model, dataset, seed, out, f"held out of {archive.name}"), out))


def _scored(model: TrainedModel, dataset: Dataset, seed: int, out: Path, source: str) -> dict[str, Any]:
    """Fit the anomaly scores to the latents of the training part, and return the card."""
    from fulgor.models.fitting import infer
    from fulgor.models.scores.attach import attach_scores
    from fulgor.models.training import PARTS

    parts = dataset.split(PARTS, seed)
    training, reference = (infer(model.network, dataset, parts[part]) for part in ("train", "reference"))
    return attach_scores(out, training, dataset.labels[parts["train"]], reference, source=source, seed=seed)


def _require(*packages: str) -> None:
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise SettingsError(f"training needs {' and '.join(missing)}: pip install 'fulgor[train]'")


def _read(stream: Stream, archive: Path, table: Path | None) -> tuple[Dataset, Counter[str]]:
    """Return the data set of an archive, and what was left out by reason."""
    from fulgor.models.dataset import Dataset
    from fulgor.models.layout import CLASSES

    known = _labels(table or (archive if archive.is_dir() else archive.parent) / LABELS)
    left_out: Counter[str] = Counter()
    return Dataset.gather(_examples(stream, archive, known, left_out), CLASSES), left_out


def _labels(table: Path) -> dict[str, str]:
    """Return the label of each alert in a table."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if not {"candid", "label"} <= set(rows.fieldnames or ()):
                raise SettingsError(f"{table} has no columns candid and label; give another table with --labels")
            return {row["candid"]: row["label"] for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{table} cannot be read ({error}); give the labels with --labels") from error


def _examples(stream: Stream, archive: Path, labels: dict[str, str], left_out: Counter[str]) -> Iterator[Example]:
    """Yield every alert once that a score can be computed for."""
    from fulgor.models.dataset import Example
    from fulgor.replay.archive import open_archive

    opened = open_archive(archive)
    seen: set[str] = set()
    with _progress("preparing", opened.count) as show:
        for done, message in enumerate(opened, 1):
            for item in _items(stream, message.value, left_out):
                if item.unscorable or item.alert in seen:
                    left_out["unscorable" if item.unscorable else "repeated"] += 1
                    continue
                seen.add(item.alert)
                yield Example(item.arrays, labels.get(item.alert) or None, item.object)
            show(done, f"{len(seen)} alerts")
    if not seen:
        raise ArchiveError(f"{archive} holds no alert that can be prepared{_listed(left_out)}")


def _items(stream: Stream, value: bytes, left_out: Counter[str]) -> Iterator[Any]:
    try:
        records = stream.decode(value)
    except MalformedError:
        left_out["malformed"] += 1
        return
    for record in records:
        if isinstance(record, MalformedError):
            left_out["malformed"] += 1
        else:
            yield from stream.prepare(record)


def _measured(model: TrainedModel, dataset: Dataset, left_out: Counter[str], archive: Path) -> dict[str, Any]:
    """Return the figures of a model on alerts that it was neither trained nor chosen on."""
    import numpy as np

    from fulgor.models.training import measure

    figures = measure(model, dataset, np.arange(len(dataset)))
    return {"archive": archive.name, "simulated": False, "left_out": dict(left_out), **figures}


@contextmanager
def _progress(what: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
    """Show a bar on a terminal, nothing in a pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield lambda done, note: None  # noqa: ARG005 - the bar's arguments
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total, note="")
        yield lambda done, note: progress.update(task, completed=done, note=note)


def _progress_note(epoch: Epoch) -> str:
    return f"{epoch.number}/{epoch.epochs} loss {epoch.loss:.3f}, validation {epoch.validation:.3f}"


def _listed(counts: Counter[str]) -> str:
    return "".join(f", {count} {reason}" for reason, count in sorted(counts.items()))


def _report(card: dict[str, Any], out: Path) -> str:
    metrics, data = card["metrics"], card["data"]
    kind = "simulated" if data["simulated"] else "real"
    lines = [f"model {card['model_hash']} in {out}"]
    for title, figures in ((f"{kind}, held out by object", metrics), ("also measured", data.get("also_measured"))):
        if figures and figures["alerts"]:
            lines.append(
                f"{title}: accuracy {figures['accuracy']:.3f}, balanced {figures['balanced_accuracy']:.3f}, "
                f"macro F1 {figures['macro_f1']:.3f} over {figures['alerts']} alerts "
                f"(metadata alone: {figures['metadata_only']['accuracy']:.3f})"
            )
    return "\n".join(lines)
