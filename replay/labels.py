"""Labels of alerts: from a table, or from what people judged."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from fulgor.errors import SettingsError
from fulgor.storage.database import Connection
from fulgor.storage.judgements import judgements

__all__ = ["JUDGED", "check_known", "labels_from_judgements", "labels_from_table"]

ID_COLUMNS: Final = ("alert", "candid")
ROWS_MAX: Final = 5_000_000
SHOWN: Final = 5
JUDGED: Final = ("boring", "interesting")
"""Classes of judged alerts."""


def labels_from_table(table: Path) -> dict[str, str]:
    """Return the label of each alert in a CSV file with columns ``alert`` or ``candid``, and ``label``.

    Rows without a label are left out.

    Raises
    ------
    SettingsError
        It cannot be read, lacks a column, or gives one alert two labels.
    """
    found: dict[str, str] = {}
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            names = set(rows.fieldnames or ())
            id_column = next((name for name in ID_COLUMNS if name in names), None)
            if id_column is None or "label" not in names:
                raise SettingsError(f"{table} has no column label, or neither alert nor candid")
            for row in rows:
                alert, label = row[id_column], row["label"]
                if label and found.setdefault(alert, label) != label:
                    raise SettingsError(f"{table} gives alert {alert} two labels: {found[alert]} and {label}")
                if len(found) > ROWS_MAX:
                    raise SettingsError(f"{table} has more than {ROWS_MAX} rows; divide the archive")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{table} cannot be read: {error}") from error
    return found


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
