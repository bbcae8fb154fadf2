"""Labelled alerts of an archive: what models are measured on."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from fulgor.errors import ArchiveError, MalformedError, SettingsError
from fulgor.models.evaluation.alerts import LabelledAlert
from fulgor.preprocessing.ztf import ZtfDecoder
from fulgor.replay.archive import open_archive

__all__ = ["LABELS", "LabelRow", "label_rows", "labelled_alerts"]

LABELS: Final = "labels.csv"
"""Table beside the alerts: columns ``candid`` and ``label``, and ``origin`` or ``origin_repo`` where known."""

ROWS_MAX: Final = 5_000_000


class LabelRow(NamedTuple):
    """Label and origin of an alert; the label is None and the origin empty where the table does not tell."""

    label: str | None
    origin: str


def labelled_alerts(
    archive: Path,
    table: Path | None = None,
    *,
    left_out: Counter[str] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Iterator[LabelledAlert]:
    """Yield every alert of an archive that a table names, once.

    Parameters
    ----------
    archive : Path
        File, folder or tarball.
    table : Path, optional
        CSV file; by default :data:`LABELS` in the archive's folder. A row without a label gives an
        unlabelled alert. An alert's origin is the table's, else the folder or file it lies in.
    left_out : Counter, optional
        Counts, by reason, what is not yielded: ``malformed``, ``repeated`` or ``not in the table``.
    progress : callable, optional
        Told of messages read, and of how many there are where that is known.

    Raises
    ------
    ArchiveError
        The archive cannot be read, or holds none of the table's alerts.
    SettingsError
        The table cannot be read.
    """
    rows = label_rows(table or (archive if archive.is_dir() else archive.parent) / LABELS)
    counts: Counter[str] = Counter() if left_out is None else left_out
    decoder, opened, seen = ZtfDecoder(), open_archive(archive), set[str]()
    for done, message in enumerate(opened, 1):
        try:
            records = decoder(message.value)
        except MalformedError:
            counts["malformed"] += 1
            records = []
        for record in records:
            if isinstance(record, MalformedError):
                counts["malformed"] += 1
            elif (candid := str(record.candid)) in seen:
                counts["repeated"] += 1
            elif (row := rows.get(candid)) is None:
                counts["not in the table"] += 1
            else:
                seen.add(candid)
                yield LabelledAlert(record, row.label, row.origin or _place(message.name))
        if progress is not None:
            progress(done, opened.count)
    if not seen:
        raise ArchiveError(f"{archive} holds none of the {len(rows)} alerts that the table names; check --labels")


def label_rows(table: Path) -> dict[str, LabelRow]:
    """Return label and origin by candid; SettingsError where the table cannot be read or lacks a column."""
    found: dict[str, LabelRow] = {}
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if not {"candid", "label"} <= set(rows.fieldnames or ()):
                raise SettingsError(f"{table} has no columns candid and label; give another table with --labels")
            for row in rows:
                origin = row.get("origin") or row.get("origin_repo") or ""
                found[row["candid"]] = LabelRow(row["label"] or None, origin)
                if len(found) > ROWS_MAX:
                    raise SettingsError(f"{table} has more than {ROWS_MAX} rows; divide the archive")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{table} cannot be read ({error}); give the labels with --labels") from error
    return found


def _place(name: str) -> str:
    """Return the folder of a message within its archive, or the file where there is none."""
    path = PurePosixPath(name.partition("#")[0])
    return path.parent.as_posix() if path.parent.name else path.name
