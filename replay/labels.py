"""Labels of alerts: from a table, or from what people judged."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from fulgor.errors import SettingsError
from fulgor.storage.database import Connection
from fulgor.storage.judgements import judgements

__all__ = [
    "JUDGED",
    "LABELS",
    "LabelRow",
    "check_known",
    "label_rows",
    "labels_from_judgements",
    "labels_from_table",
    "table_beside",
    "table_rows",
]

LABELS: Final = "labels.csv"
"""Table beside the alerts: columns ``candid`` and ``label``, and ``origin`` or ``origin_repo`` where known."""

ID_COLUMNS: Final = ("alert", "candid")
ROWS_MAX: Final = 5_000_000
SHOWN: Final = 5
JUDGED: Final = ("boring", "interesting")
"""Classes of judged alerts."""


class LabelRow(NamedTuple):
    """Label and origin of an alert; the label is None and the origin empty where the table does not tell."""

    label: str | None
    origin: str


def table_beside(archive: Path) -> Path:
    """Return where the labels of an archive are unless told otherwise: :data:`LABELS` in its folder."""
    return (archive if archive.is_dir() else archive.parent) / LABELS


def table_rows(table: Path, *columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of a table of labels, which has to have each of some columns under one of its names.

    Raises
    ------
    SettingsError
        It cannot be read, lacks a column, or is larger than any archive.
    """
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            absent = [" or ".join(names) for names in columns if set(names).isdisjoint(rows.fieldnames or ())]
            if absent:
                raise SettingsError(f"{table} has no column {', '.join(absent)}; give another table with --labels")
            for number, row in enumerate(rows, 1):
                if number > ROWS_MAX:
                    raise SettingsError(f"{table} has more than {ROWS_MAX} rows; divide the archive")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{table} cannot be read ({error}); give the labels with --labels") from error


def label_rows(table: Path) -> dict[str, LabelRow]:
    """Return label and origin by alert, of a CSV file with columns ``alert`` or ``candid``, and ``label``.

    Raises
    ------
    SettingsError
        It cannot be read, lacks a column, or gives one alert two labels.
    """
    found: dict[str, LabelRow] = {}
    for row in table_rows(table, ID_COLUMNS, ("label",)):
        _add(found, next(row[name] for name in ID_COLUMNS if name in row), row, table)
    return found


def _add(found: dict[str, LabelRow], alert: str, row: Mapping[str, str], table: Path) -> None:
    """Add a row; one without a label does not undo the label of an earlier one."""
    label, origin = row["label"] or None, row.get("origin") or row.get("origin_repo") or ""
    earlier = found[alert].label if alert in found else None
    if label and earlier and label != earlier:
        raise SettingsError(f"{table} gives alert {alert} two labels: {earlier} and {label}; leave one")
    found[alert] = LabelRow(label or earlier, origin)


def labels_from_table(table: Path) -> dict[str, str]:
    """Return the label of each alert of a table that has one; errors as those of `label_rows`."""
    return {alert: row.label for alert, row in label_rows(table).items() if row.label}


def labels_from_judgements(connection: Connection, stream: str) -> dict[str, str]:
    """Return ``interesting`` or ``boring`` for each alert of a stream that somebody has judged.

    Raises
    ------
    SettingsError
        Nobody has judged any.
    """
    found = {
        each.alert: JUDGED[each.interesting] for each in judgements(connection, stream, limit=ROWS_MAX)
    }  # fmt: skip
    if not found:
        raise SettingsError(f"nobody has judged an alert of {stream} yet: fulgor latents label ALERT yes|no")
    return found


def check_known(labels: Mapping[str, str], alerts: Iterable[str]) -> list[str]:
    """Return labelled alerts that are not among those of a set.

    Raises
    ------
    SettingsError
        None of them is: the labels belong to another archive.
    """
    known = set(alerts)
    unknown = [alert for alert in labels if alert not in known]
    if labels and len(unknown) == len(labels):
        shown = ", ".join(unknown[:SHOWN])
        raise SettingsError(f"none of the {len(labels)} labelled alerts ({shown}, ...) is in the archive")
    return unknown
