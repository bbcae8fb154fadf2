"""``fulgor models drift`` and ``sample``: whether the alerts are still those that a model was measured on."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fulgor.cli.output import JSON, emit, emit_one
from fulgor.cli.session import DATABASE, STREAM, opened
from fulgor.errors import ArchiveError, MalformedError, ModelError

if TYPE_CHECKING:
    from fulgor.consumer.stream import Item, Stream
    from fulgor.replay.archive import Archive

__all__ = ["drift", "sample"]

_COLUMNS = ("stream", "night", "model", "alerts", "distance", "level", "p_value", "beyond", "drifted")
_BATCH = 64


def drift(
    stream: str = STREAM,
    measure: bool = typer.Option(True, help="First measure the nights that are new or have grown."),
    limit: int = typer.Option(30, "--limit", min=1, help="How many nights at most, the latest first."),
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Show how far each night's latents lie from the sample kept with the model, and what chance alone gives."""
    from fulgor.models.drift import FEWEST
    from fulgor.storage.drift import measure_drift, read_drift

    with opened(database) as connection:
        without = measure_drift(connection, stream)[1] if measure else []
        rows = read_drift(connection, stream, limit=limit)
    emit(rows, _COLUMNS, as_json=as_json)
    if not rows and not without:
        typer.echo(f"nothing to show: no night has {FEWEST} alerts of a model that scores", err=True)
    for model in without:
        typer.echo(
            f"model {model.name} ({model.hash}) has no sample: 'fulgor models sample FOLDER --archive ARCHIVE', then"
            " 'fulgor models add FOLDER'",
            err=True,
        )


def sample(
    folder: Path = typer.Argument(help="Folder of a model."),
    archive: Path = typer.Option(help="Alerts that its training did not see: file, folder, tarball or recording."),
    count: int = typer.Option(1000, min=20, max=1000, help="How many of them to keep, drawn by their ids."),
    as_json: bool = JSON,
) -> None:
    """Keep latents and scores of held-out alerts with a model, for nights to be compared with; its hash stays."""
    import numpy as np

    from fulgor.consumer.settings import load_settings
    from fulgor.models.card import read_card
    from fulgor.models.drift import attach_sample
    from fulgor.replay.archive import open_archive
    from fulgor.streams.registry import instrument

    card = read_card(folder)
    if card["recurrence"].get("history_stamps"):
        raise ModelError(
            f"{folder} takes the stored stamps of earlier alerts, which single alerts of an archive lack; its training"
            " keeps a sample: fulgor train ztf --history-stamps"
        )
    stream = instrument(card["stream"], load_settings())
    predictor = stream.load_model(folder, "cpu", 1)
    broken: Counter[str] = Counter()
    items = _drawn(_items(stream, open_archive(archive), broken), count)
    outputs = [
        predictor.predict({name: np.stack([item.arrays[name] for item in batch]) for name in batch[0].arrays})
        for batch in (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
    ]
    latents, scores = (np.concatenate([output[name] for output in outputs]) for name in ("latent", "scores"))
    written = attach_sample(folder, latents, scores)
    told = {"model": written["name"], "hash": written["model_hash"], **written["sample"], "left_out": broken}
    emit_one(told, as_json=as_json)


def _drawn(items: Iterable[Item], count: int) -> list[Item]:
    """Return the alerts whose ids hash lowest: the same ones whatever the order."""
    chosen: list[tuple[int, str, Item]] = []
    seen: set[str] = set()
    for item in items:
        key = -int.from_bytes(blake2b(item.alert.encode(), digest_size=8).digest())
        if item.unscorable is not None or item.alert in seen or (len(chosen) == count and key <= chosen[0][0]):
            continue
        seen.add(item.alert)
        (heapq.heappush if len(chosen) < count else heapq.heappushpop)(chosen, (key, item.alert, item))
    if not chosen:
        raise ArchiveError("the archive holds no alert that a model can score; 'fulgor replay inspect' says why")
    return [item for _, _, item in sorted(chosen, key=lambda entry: entry[:2])]


def _items(stream: Stream, archive: Archive, broken: Counter[str]) -> Iterator[Item]:
    from fulgor.replay.archived import require_whole

    for message in archive:
        try:
            records = stream.decode(message.value)
        except MalformedError as error:
            broken[error.stage] += 1
            continue
        for record in records:
            if isinstance(record, MalformedError):
                broken[record.stage] += 1
            else:
                yield from stream.prepare(record)
    require_whole(archive.problems)
