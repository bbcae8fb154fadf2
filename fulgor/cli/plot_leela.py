"""``fulgor plot chunk|periodogram|pulses|space``: pictures of LEELA chunks and of their pulses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fulgor.errors import ArchiveError, MalformedError, ModelError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fulgor.preprocessing.leela import LeelaChunk

__all__ = ["chunk", "periodogram", "pulses", "space"]

ARCHIVE = typer.Argument(help="Field file, or file or folder of LEELA messages.")
ALERT = typer.Argument(None, help="Id of a chunk or of a pulse; by default the chunk of the strongest pulse.")
MODEL = typer.Option(None, help="Folder of a model; by default the shipped one.")

SHOWN = 3
MOST = 20_000
"""Chunks of an archive that are searched for the strongest pulse, or whose pulses are drawn in space."""


def chunk(
    archive: Path = ARCHIVE,
    alert: str = ALERT,
    out: Path = typer.Option(Path("chunk.png"), help="Picture, PNG, PDF or SVG by its ending."),
) -> None:
    """Draw a LEELA chunk, as received and band-passed, with its pulses marked."""
    from fulgor.plots.leela import chunk_picture
    from fulgor.preprocessing.leela import prepare

    found = _chosen(archive, alert)
    _write(chunk_picture(found, prepare(found)), out)


def periodogram(
    archive: Path = ARCHIVE,
    alert: str = ALERT,
    segment: int = typer.Option(64, min=16, max=256, help="Samples of a segment."),
    out: Path = typer.Option(Path("periodogram.png"), help="Picture, PNG, PDF or SVG by its ending."),
) -> None:
    """Draw the periodogram of a LEELA chunk, taken of the band-passed signal."""
    from fulgor.plots.periodogram import periodogram_picture
    from fulgor.preprocessing.leela import periodogram as periodogram_of
    from fulgor.preprocessing.leela import prepare

    found = _chosen(archive, alert)
    signal = prepare(found).signal
    if len(signal) < segment:
        raise ArchiveError(
            f"chunk {found.id} has no band-passed signal of {segment} samples; 'fulgor plot chunk' shows why"
        )
    image = periodogram_of(signal, found.interval_ns, segment)
    _write(periodogram_picture(image, found.interval_ns, segment=segment, heading=found.id), out)


def pulses(
    archive: Path = ARCHIVE,
    alert: str = ALERT,
    model: Path = MODEL,
    out: Path = typer.Option(Path("pulses.png"), help="Picture, PNG, PDF or SVG by its ending."),
) -> None:
    """Draw the windows of a LEELA chunk's pulses beside what the decoder rebuilds of them, with the residual."""
    import numpy as np

    from fulgor.models.card import read_card
    from fulgor.models.leela.layout import LOG_SNR
    from fulgor.models.leela.rebuilding import load_network, rebuild
    from fulgor.models.serving import SHIPPED
    from fulgor.plots.pulses import rebuilt_pulses
    from fulgor.preprocessing.leela import prepare

    found = _chosen(archive, alert)
    folder = model or SHIPPED / "leela"
    prepared = prepare(found)
    rebuilt = rebuild(load_network(folder, read_card(folder)), prepared.arrays)
    snr = np.exp(prepared.arrays["scalars"][:, LOG_SNR]).tolist()
    heading = found.id if prepared.pulses else f"{found.id}: no pulse, its loudest stretch"
    _write(rebuilt_pulses(rebuilt, snr, heading), out)


def space(
    archive: Path = ARCHIVE,
    model: Path = MODEL,
    out: Path = typer.Option(Path("space.png"), help="Picture, PNG, PDF or SVG by its ending."),
) -> None:
    """Draw the pulses' own latents of an archive in space, coloured by the class that the model tells."""
    import numpy as np

    from fulgor.models.leela.serving import load
    from fulgor.models.serving import SHIPPED
    from fulgor.plots.space import latent_space
    from fulgor.preprocessing.leela import prepare

    loaded = load(model or SHIPPED / "leela", "cpu")
    latents, told = [], []
    for number, found in enumerate(islice(_chunks(archive), MOST)):
        prepared = prepare(found)
        count = len(prepared.pulses)
        if count:
            alike = {name: np.stack([array] * count) for name, array in prepared.arrays.items()}
            number_of = {"pulse": np.arange(1, count + 1), "chunk": np.full((count, 2), number)}
            given = loaded.predict({**alike, **number_of})
            latents.append(given["stamp_latent"])
            told += [loaded.classes[k] for k in given["probabilities"].argmax(axis=1).tolist()]
    if not told:
        raise ModelError(f"{archive} holds no pulse that stands out, so there is nothing to draw")
    heading = f"{len(told):,} pulses of {archive.name}, by the class told"
    _write(latent_space(np.concatenate(latents), told, names=loaded.classes, heading=heading), out)


def _chunks(archive: Path) -> Iterator[LeelaChunk]:
    """Yield the chunks of an archive that can be decoded."""
    from fulgor.preprocessing.leela import LeelaChunk, LeelaDecoder
    from fulgor.replay.archive import open_archive

    decode = LeelaDecoder()
    for message in open_archive(archive):
        with suppress(MalformedError):
            yield from [record for record in decode(message.value) if isinstance(record, LeelaChunk)]


def _chosen(archive: Path, alert: str | None) -> LeelaChunk:
    """Return the chunk of an alert's id, or the one of the strongest pulse."""
    if alert is None:
        return _strongest(archive)
    name = alert.partition("#")[0]
    first: list[str] = []
    for found in _chunks(archive):
        if found.id == name:
            return found
        if len(first) < SHOWN:
            first.append(found.id)
    there = f"the first are {', '.join(first)}" if first else "it holds none that can be decoded"
    raise ArchiveError(f"{archive} holds no chunk {name}: {there}")


def _strongest(archive: Path) -> LeelaChunk:
    from fulgor.preprocessing.leela import prepare

    def strength(found: LeelaChunk) -> float:
        return max((pulse.snr for pulse in prepare(found).pulses), default=0.0)

    best = max(islice(_chunks(archive), MOST), key=strength, default=None)
    if best is None:
        raise ArchiveError(f"{archive} holds no LEELA chunk that can be decoded")
    return best


def _write(figure: Figure, out: Path) -> None:
    from fulgor.plots.files import write_figure

    write_figure(figure, out)
    typer.echo(str(out))
