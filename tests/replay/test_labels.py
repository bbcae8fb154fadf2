"""Tables of labels: what is read, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fulgor.errors import SettingsError
from fulgor.replay.labels import LabelRow, check_known, label_rows, labels_from_table, table_beside


def test_labels_from_a_table(tmp_path: Path):
    table = tmp_path / "labels.csv"
    table.write_text("candid,label,origin\n1,SN,a\n2,,a\n3,VS,b\n1,SN,c\n1,,c\n")
    assert labels_from_table(table) == {"1": "SN", "3": "VS"}
    assert check_known({"1": "SN", "3": "VS"}, ["1", "2"]) == ["3"]
    with pytest.raises(SettingsError, match="none of the 2 labelled alerts"):
        check_known({"1": "SN", "3": "VS"}, ["2"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("alert,label\n1,SN\n1,VS\n", "two labels: SN and VS"),
        ("id,label\n", "no column alert or candid"),
        ("candid,kind\n1,SN\n", "no column label"),
        (None, "cannot be read"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, text: str | None, problem: str):
    table = tmp_path / "labels.csv"
    if text is not None:
        table.write_text(text)
    with pytest.raises(SettingsError, match=problem):
        labels_from_table(table)


def test_an_alert_without_a_label_has_an_origin(tmp_path: Path):
    table_beside(tmp_path).write_text("candid,label,origin_repo\n1,,a\n2,VS,\n")
    assert label_rows(table_beside(tmp_path / "alerts.avro")) == {"1": LabelRow(None, "a"), "2": LabelRow("VS", "")}
