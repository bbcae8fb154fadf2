"""``fulgor replay prepare``: an archive as a training set."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import typer

from fulgor.errors import SettingsError

if TYPE_CHECKING:
    from fulgor.consumer.settings import Settings
    from fulgor.replay.archived import Archive

__all__ = ["prepare"]


def prepare(
    archive: Path = typer.Argument(help="A recording, an Avro container, a folder of them, a .tar(.gz)."),
    cache: Path = typer.Option(Path("prepared"), help="Folder of prepared sets, which training then reads."),
    stream: str = typer.Option("ztf", help="Instrument."),
    labels: Path = typer.Option(None, help="CSV with columns alert (or candid) and label."),
    judged: bool = typer.Option(False, "--judged", help="Labels from what people judged, in the database."),
    database: str = typer.Option(None, help="Postgres URL, without a password; for --judged."),
    config: Path = typer.Option(None, help="Config file."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Prepare an archive for training, by the live preparation, once; say how its labels fit."""
    from fulgor.consumer.settings import load_settings
    from fulgor.replay.archive import open_archive
    from fulgor.replay.labels import check_known
    from fulgor.replay.trainingset import prepare_set
    from fulgor.streams.registry import instrument

    if judged and labels is not None:
        raise SettingsError("--labels and --judged exclude each other: an alert has one label")
    settings = load_settings({"database": database}, config=config)
    known = _labels(settings, stream, labels, judged=judged)
    opened, began = open_archive(archive), monotonic()
    with _progress(opened) as show:
        found = prepare_set(opened, instrument(stream, settings), cache, show)
    unknown = check_known(known, found.alerts.tolist())
    classes = sorted(set(known.values()))
    dataset = found.dataset(known, classes)
    done = {
        "folder": str(found.folder),
        "alerts": len(found),
        "objects": len(set(found.objects.tolist())),
        "left_out": dict(found.left_out),
        "classes": {name: int((dataset.labels == number).sum()) for number, name in enumerate(classes)},
        "unlabelled": int((dataset.labels < 0).sum()),
        "unknown": len(unknown),
        "seconds": monotonic() - began,
    }
    typer.echo(json.dumps(done) if as_json else _sentence(done, unknown))


def _labels(settings: Settings, stream: str, table: Path | None, *, judged: bool) -> dict[str, str]:
    from fulgor.replay.labels import labels_from_judgements, labels_from_table

    if table is not None:
        return labels_from_table(table)
    if not judged:
        return {}
    from fulgor.cli.services import database_url
    from fulgor.storage.database import connect, translated

    url = database_url(settings)
    with translated(url), connect(url) as connection:
        return labels_from_judgements(connection, stream)


@contextmanager
def _progress(archive: Archive) -> Iterator[Callable[[int], None]]:
    """Show a count on a terminal, nothing in a pipe."""
    from rich.console import Console

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield lambda count: None  # noqa: ARG005 - the line's argument
        return
    of = "" if archive.count is None else f" of {archive.count}"
    with console.status("preparing") as status:
        yield lambda count: status.update(f"preparing: {count}{of} messages")


def _sentence(done: dict[str, object], unknown: list[str]) -> str:
    parts = [f"{done['alerts']} alerts of {done['objects']} objects in {done['folder']} ({done['seconds']:.1f} s)"]
    for what in ("left_out", "classes"):
        counts = done[what]
        if isinstance(counts, dict) and counts:
            parts.append(", ".join(f"{count} {name}" for name, count in counts.items()))
    if done["classes"]:
        parts.append(f"{done['unlabelled']} without a label")
    if unknown:
        parts.append(f"{len(unknown)} labels are of alerts that are not in it, such as {unknown[0]}")
    return "; ".join(parts)
