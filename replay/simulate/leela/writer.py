"""Simulated chunks as files, and the truth beside them: of chunks, of pulses, of discharges, of receivers."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from fulgor.errors import SettingsError
from fulgor.preprocessing.leela.chunk import chunk_of
from fulgor.preprocessing.leela.nodes import write_nodes
from fulgor.preprocessing.records import AvroRecord
from fulgor.replay.chunks import encode_chunks
from fulgor.replay.record.disk import disk_errors, write_whole
from fulgor.replay.simulate.leela.network import NETWORK
from fulgor.replay.simulate.leela.receiver import INTERVAL_NS
from fulgor.replay.simulate.leela.season import SimulatedChunk
from fulgor.replay.simulate.leela.sources import Discharge

__all__ = ["LABELS", "NODES", "PULSES", "STROKES", "ChunkSummary", "chunk_id", "messages", "write_archive"]

LABELS, PULSES, STROKES, NODES = "labels.csv", "pulses.csv", "strokes.csv", "nodes.json"

CHUNKS_A_FILE = 500
"""Some 1.7 MB: a container is one message."""

_LABEL_COLUMNS = ("chunk", "site", "starttime", "label", "flash", "file", "rec")
_PULSE_COLUMNS = (
    "chunk", "site", "node", "stroke", "flash", "wave_ns", "peak_ns", "peak_index", "amplitude", "hops", "distance_m",
)  # fmt: skip
_STROKE_COLUMNS = ("stroke", "flash", "time_ns", "lat", "lon", "kind", "current_ka", "night")


@dataclass(frozen=True, slots=True)
class ChunkSummary:
    """What was written: totals, and the folder."""

    chunks: int
    files: int
    bytes: int
    out: Path


def chunk_id(record: Mapping[str, Any]) -> str:
    """Return the id that the chunk's row will have."""
    return chunk_of(AvroRecord(0, record, b"")).id


def messages(chunks: Iterable[SimulatedChunk]) -> Iterator[tuple[str, bytes]]:
    """Yield chunks as messages of their own, with names."""
    for chunk in chunks:
        yield f"{chunk.name}.avro", encode_chunks([chunk.record])


def write_archive(chunks: Iterable[SimulatedChunk], out: Path) -> ChunkSummary:
    """Write chunks to containers, each a block of its own, and tables of the truth beside them.

    Parameters
    ----------
    chunks : iterable of SimulatedChunk
        In the order of their delivery.
    out : Path
        A folder, created if absent. ``labels.csv`` has a row for each chunk, ``pulses.csv`` for each
        visible pulse (time of the first wave, of the envelope's peak, and its sample), ``strokes.csv``
        for each discharge that was seen; ``nodes.json`` lists the receivers.

    Raises
    ------
    SettingsError
        The folder cannot be made, or holds containers already.
    DiskFullError, ArchiveError
        There is no space left, or it cannot be written; the containers that are there are whole.
    """
    _make_room(out)
    with disk_errors(out):
        return _write(iter(chunks), out)


def _write(left: Iterator[SimulatedChunk], out: Path) -> ChunkSummary:
    files, size, count = 0, 0, 0
    strokes: dict[str, Discharge] = {}
    with (out / LABELS).open("w", newline="") as labels, (out / PULSES).open("w", newline="") as pulses:
        label_rows, pulse_rows = csv.writer(labels), csv.writer(pulses)
        label_rows.writerow(_LABEL_COLUMNS)
        pulse_rows.writerow(_PULSE_COLUMNS)
        while batch := list(islice(left, CHUNKS_A_FILE)):
            path = out / f"simulated_leela_{files:05d}.avro"
            container = encode_chunks(chunk.record for chunk in batch)
            write_whole(path, container)
            size += len(container)
            for number, chunk in enumerate(batch):
                name = chunk_id(chunk.record)
                label_rows.writerow(_label_row(chunk, name, path.name, number))
                pulse_rows.writerows(_pulse_rows(chunk, name))
                strokes |= {arrival.discharge.id: arrival.discharge for arrival in chunk.seen}
            files, count = files + 1, count + len(batch)
    _write_strokes(strokes.values(), out / STROKES)
    write_nodes((site.node for site in NETWORK), out / NODES)
    return ChunkSummary(count, files, size, out)


def _make_room(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot create the folder {folder}: {error.strerror}") from error
    if any(folder.glob("*.avro")):
        raise SettingsError(f"{folder} holds .avro files already: name an empty folder, or remove them first")


def _label_row(chunk: SimulatedChunk, name: str, file: str, number: int) -> tuple[Any, ...]:
    flash = chunk.seen[0].discharge.flash if chunk.seen else ""
    return name, chunk.record["site"], chunk.record["starttime"], chunk.label, flash, file, number


def _pulse_rows(chunk: SimulatedChunk, name: str) -> Iterator[tuple[Any, ...]]:
    for arrival, peak in zip(chunk.seen, chunk.peaks, strict=True):
        yield (
            name, chunk.record["site"], chunk.record["node"], arrival.discharge.id, arrival.discharge.flash,
            arrival.wave_ns, _peak_ns(chunk, peak), f"{peak:.3f}", f"{arrival.amplitude:.2f}",
            f"{arrival.hops:.3f}", f"{arrival.distance_m:.1f}",
        )  # fmt: skip


def _peak_ns(chunk: SimulatedChunk, peak: float) -> int:
    return int(chunk.record["starttime"]) + round(peak * INTERVAL_NS)


def _write_strokes(strokes: Iterable[Discharge], path: Path) -> None:
    with path.open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(_STROKE_COLUMNS)
        for each in sorted(strokes, key=lambda stroke: stroke.time_ns):
            place = (f"{each.lat:.5f}", f"{each.lon:.5f}")
            rows.writerow(
                [each.id, each.flash, each.time_ns, *place, each.kind, f"{each.current_ka:.2f}", int(each.night)]
            )
