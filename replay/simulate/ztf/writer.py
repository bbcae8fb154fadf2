"""Avro object containers of simulated alerts, and the truth beside them."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro

from fulgor.errors import SettingsError
from fulgor.replay.simulate.ztf.night import SimulatedAlert
from fulgor.replay.simulate.ztf.schema import parsed_schema

__all__ = ["LABELS", "MAX_CONTAINER_BYTES", "Summary", "encode", "write_archive"]

LABELS = "labels.csv"
MAX_CONTAINER_BYTES = 2_400_000  # the largest real files are as big; a container is one message
_COLUMNS = ("candid", "objectId", "jd", "label", "file", "rec")


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
    """Return one Avro object container (null codec, as ZTF ships) of one block.

    Parameters
    ----------
    records : iterable of dict
        ZTF 4.02 records. The same records give the same bytes: the sync marker is their hash.
    """
    records = list(records)
    body = io.BytesIO()
    for record in records:
        fastavro.schemaless_writer(body, parsed_schema(), record)
    marker = hashlib.blake2b(body.getvalue(), digest_size=16).digest()
    out = io.BytesIO()
    # One block per container: an interval that no container reaches.
    fastavro.writer(out, parsed_schema(), records, codec="null", sync_interval=1 << 40, sync_marker=marker)
    return out.getvalue()


def write_archive(alerts: Iterable[SimulatedAlert], out: Path, *, max_bytes: int = MAX_CONTAINER_BYTES) -> Summary:
    """Write alerts to containers of bounded size, and ``labels.csv`` beside them.

    Parameters
    ----------
    alerts : iterable of SimulatedAlert
        In time order.
    out : Path
        A folder, created if absent; or a file ending in .avro, which then holds every alert.
    max_bytes : int
        No container in a folder is larger, unless one record alone is.

    Raises
    ------
    SettingsError
        The place cannot be written or is a folder that holds containers already.
    """
    single = out.suffix == ".avro"
    folder = out.parent if single else out
    labels = out.with_suffix(".labels.csv") if single else folder / LABELS
    _make_folder(folder, fresh=not single)
    bound = 1 << 62 if single else max_bytes
    count = files = size = 0
    with labels.open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(_COLUMNS)
        for number, batch in enumerate(_batches(alerts, bound)):
            path = out if single else folder / f"simulated_ztf_{number:05d}.avro"
            content = encode([alert.record for alert in batch])
            path.write_bytes(content)
            for index, alert in enumerate(batch):
                candid = alert.record["candid"]
                rows.writerow([candid, alert.object_id, repr(alert.jd), alert.label, path.name, index])
            count, files, size = count + len(batch), files + 1, size + len(content)
    return Summary(count, files, size, labels)


def _make_folder(folder: Path, *, fresh: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot create the folder {folder}: {error.strerror}") from error
    if fresh and any(folder.glob("*.avro")):
        raise SettingsError(f"{folder} holds .avro files already: give an empty folder, or remove them first")


def _batches(alerts: Iterable[SimulatedAlert], max_bytes: int) -> Iterator[list[SimulatedAlert]]:
    batch: list[SimulatedAlert] = []
    empty = size = len(encode([]))
    for alert in alerts:
        more = _size(alert.record)
        if batch and size + more > max_bytes:
            yield batch
            batch, size = [], empty
        batch.append(alert)
        size += more
    if batch:
        yield batch


def _size(record: dict[str, Any]) -> int:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, parsed_schema(), record)
    return body.tell() + 16  # room for the block's count, length and marker
