"""``fulgor train leela``: a model from an archive of labelled chunks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fulgor.errors import ArchiveError, MalformedError

if TYPE_CHECKING:
    from fulgor.models.leela.dataset import ChunkExample
    from fulgor.models.passes import Epoch

__all__ = ["train_leela"]


def train_leela(
    archive: Path, table: Path | None, out: Path, *,
    name: str, simulated: bool, epochs: int, seed: int, threads: int, device: str,
) -> None:  # fmt: skip
    """Train a LEELA model on an archive, export it and write its card.

    Parameters
    ----------
    archive : Path
        Chunks, such as ``fulgor simulate leela`` writes.
    table : Path or None
        Columns ``chunk`` (the chunk's id), ``label`` and ``flash``; default: labels.csv in the archive.
    out : Path
        Folder of the new model.
    name, simulated : str, bool
        For the card.
    epochs, seed, threads : int
        Passes at most; of every draw; that torch computes with.
    device : str
        auto, cpu or cuda.

    Raises
    ------
    SettingsError
        The labels cannot be read.
    ArchiveError
        No chunk can be prepared.
    DeviceError
        ``cuda`` was asked for and cannot be had; nothing has been read then.
    """
    import torch

    from fulgor.models.device import choose_for_torch
    from fulgor.models.leela.dataset import LeelaDataset
    from fulgor.models.leela.export import save
    from fulgor.models.leela.training import LeelaConfig, train
    from fulgor.models.staging import make_folder, staged
    from fulgor.preprocessing.leela import DEFAULT
    from fulgor.replay.labels import table_beside

    torch.set_num_threads(threads)
    chosen = choose_for_torch(device)
    make_folder(out)
    labels = _labels(table or table_beside(archive))
    dataset = LeelaDataset.gather(_examples(archive, labels))
    typer.echo(f"{len(dataset)} chunks from {archive}")
    config = LeelaConfig(epochs=epochs, seed=seed)

    def told(epoch: Epoch) -> None:
        typer.echo(f"{epoch.number}/{epoch.epochs}: {epoch.validation:.3f}", err=True)

    model = train(dataset, config, told, device=chosen)
    counts = {label: int((dataset.labels == k).sum()) for k, label in enumerate(dataset.classes)}
    data: dict[str, Any] = {
        "archive": archive.name, "simulated": simulated, "chunks": len(dataset), "classes": counts,
    }  # fmt: skip
    with staged(out) as folder:
        card = save(model, folder, name=name, preprocessing_hash=DEFAULT.content_hash, data=data)
    kind = "simulated" if simulated else "real"
    figures = card["metrics"]
    typer.echo(
        f"model {card['model_hash']} in {out}\n{kind}, held out by flash: accuracy {figures['accuracy']:.3f}, "
        f"balanced {figures['balanced_accuracy']:.3f}, macro F1 {figures['macro_f1']:.3f} "
        f"over {figures['alerts']} chunks"
    )


def _labels(table: Path) -> dict[str, tuple[str, str]]:
    """Return label and flash of each chunk in a table."""
    from fulgor.replay.labels import table_rows

    rows = table_rows(table, ("chunk",), ("label",), ("flash",))
    return {row["chunk"]: (row["label"], row["flash"]) for row in rows}


def _examples(archive: Path, labels: dict[str, tuple[str, str]]) -> Iterator[ChunkExample]:
    """Yield every chunk once that can be scored."""
    from fulgor.models.leela.dataset import ChunkExample
    from fulgor.preprocessing.leela import LeelaChunk, LeelaDecoder, prepare
    from fulgor.replay.archive import open_archive

    decode, seen = LeelaDecoder(), set()
    for message in open_archive(archive):
        try:
            chunks = [chunk for chunk in decode(message.value) if isinstance(chunk, LeelaChunk)]
        except MalformedError:
            continue
        for chunk in chunks:
            arrays = prepare(chunk).arrays
            if arrays and chunk.id not in seen:
                seen.add(chunk.id)
                label, flash = labels.get(chunk.id, (None, ""))
                yield ChunkExample(arrays, label, flash or chunk.id)
    if not seen:
        raise ArchiveError(f"{archive} holds no chunk that can be prepared")
