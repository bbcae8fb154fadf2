"""Avro object containers of simulated alerts, and the truth beside them."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fastavro

from fulgor.errors import SettingsError
from fulgor.replay.record.disk import disk_errors, write_whole
from fulgor.replay.simulate.ztf.night import SimulatedAlert
from fulgor.replay.simulate.ztf.schema import parsed_schema

__all__ = ["LABELS", "MAX_CONTAINER_BYTES", "Summary", "encode", "write_archive"]

LABELS = "labels.csv"
MAX_CONTAINER_BYTES = 2_400_000  # the largest real files are as big; a container is one message
_COLUMNS = ("candid", "objectId", "jd", "label", "file", "rec")
_MARKER_BYTES = 16
_FRAME_BYTES = _MARKER_BYTES + 20  # a marker, a count and a length: at most so much beside each body


@dataclass(frozen=True, slots=True)
class Summary:
    """What was written.

    Parameters
    ----------
    alerts, files, bytes : int
        Totals.
    labels : Path
        The table of truths.
    """

    alerts: int
    files: int
    bytes: int
    labels: Path


def encode(records: Iterable[dict[str, Any]]) -> bytes:
    """Return one Avro object container (null codec, as ZTF ships), each record a block of its own.

    A container that is split by blocks is then one message an alert, as the survey sends them.

    Parameters
    ----------
    records : iterable of dict
        ZTF 4.02 records. The same records give the same bytes: the sync marker is their hash.
    """
    return _container([_body(record) for record in records])


def write_archive(alerts: Iterable[SimulatedAlert], out: Path, *, max_bytes: int = MAX_CONTAINER_BYTES) -> Summary:
    """Write alerts to containers of bounded size, and a table of labels beside them.

    Parameters
    ----------
    alerts : iterable of SimulatedAlert
        In time order.
    out : Path
        A folder, created if absent, which then holds ``labels.csv`` too; or a file ending in .avro,
        which then holds every alert, its labels beside it in NAME.labels.csv.
    max_bytes : int
        No container in a folder is larger, unless one record alone is.

    Raises
    ------
    SettingsError
        The place cannot be made, or holds containers already.
    DiskFullError, ArchiveError
        There is no space left, or it cannot be written; the containers that are there are whole.
    """
    single = out.suffix == ".avro"
    folder = out.parent if single else out
    labels = out.with_suffix(".labels.csv") if single else folder / LABELS
    _make_room(folder, out if single else None)
    count = files = size = 0
    with disk_errors(folder), labels.open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(_COLUMNS)
        for batch, bodies in _batches(alerts, None if single else max_bytes):
            path = out if single else folder / f"simulated_ztf_{files:05d}.avro"
            container = _container(bodies)
            write_whole(path, container)
            size += len(container)
            for index, alert in enumerate(batch):
                rows.writerow([alert.record["candid"], alert.object_id, repr(alert.jd), alert.label, path.name, index])
            count, files = count + len(batch), files + 1
    return Summary(count, files, size, labels)


def _make_room(folder: Path, file: Path | None) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot create the folder {folder}: {error.strerror}") from error
    if file is not None and file.exists():
        raise SettingsError(f"{file} exists already: name another file, or remove it first")
    if file is None and any(folder.glob("*.avro")):
        raise SettingsError(f"{folder} holds .avro files already: name an empty folder, or remove them first")


def _batches(
    alerts: Iterable[SimulatedAlert], max_bytes: int | None
) -> Iterator[tuple[list[SimulatedAlert], list[bytes]]]:
    batch: list[SimulatedAlert] = []
    bodies: list[bytes] = []
    empty = size = len(_header()) + _MARKER_BYTES
    for alert in alerts:
        body = _body(alert.record)
        if batch and max_bytes is not None and size + len(body) + _FRAME_BYTES > max_bytes:
            yield batch, bodies
            batch, bodies, size = [], [], empty
        batch.append(alert)
        bodies.append(body)
        size += len(body) + _FRAME_BYTES
    if batch:
        yield batch, bodies


def _body(record: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed_schema(), record)
    return out.getvalue()


@cache
def _header() -> bytes:
    """Return a container's head up to its sync marker; made once, for writing the schema out is slow."""
    out = io.BytesIO()
    fastavro.writer(out, parsed_schema(), [], codec="null", sync_marker=bytes(_MARKER_BYTES))
    return out.getvalue()[:-_MARKER_BYTES]


def _container(bodies: Sequence[bytes]) -> bytes:
    marker = hashlib.blake2b(b"".join(bodies), digest_size=_MARKER_BYTES).digest()
    blocks = (part for body in bodies for part in (_long(1), _long(len(body)), body, marker))
    return b"".join((_header(), marker, *blocks))


def _long(value: int) -> bytes:
    """Return a number that is not negative as Avro's zigzag variable-length long."""
    left = value << 1
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)
