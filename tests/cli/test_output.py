import json
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest

from fulgor.cli.output import emit, emit_one, jsonable, shown
from fulgor.storage.rows import Coordinates


@dataclass(frozen=True, slots=True)
class Row:
    alert: str
    time: datetime
    anomaly: float | None
    class_name: str


ROWS = [
    Row("x\ty\x1b[31m", datetime(2026, 3, 1, 4, 0, tzinfo=UTC), float("nan"), "[bold]SN"),
    Row("z", datetime(2026, 3, 2, 4, 0, tzinfo=timezone(timedelta(hours=2))), 0.25, "AGN"),
]


def test_json_is_strict(capsys):
    emit(ROWS, ("alert",), as_json=True)
    assert json.loads(capsys.readouterr().out) == [
        {"alert": "x\ty\x1b[31m", "time": "2026-03-01T04:00:00Z", "anomaly": None, "class": "[bold]SN"},
        {"alert": "z", "time": "2026-03-02T02:00:00Z", "anomaly": 0.25, "class": "AGN"},
    ]


def test_no_rows(capsys):
    emit([], ("alert", "time"), as_json=True)
    emit([], ("alert", "time"), as_json=False)
    assert capsys.readouterr().out == "[]\nalert\ttime\n"


def test_a_pipe_gets_tabs_and_nothing_that_breaks_them(capsys):
    emit(ROWS, ("alert", "time", "anomaly", "class"), as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "alert\ttime\tanomaly\tclass",
        "x\\x09y\\x1b[31m\t2026-03-01 04:00:00\tnan\t[bold]SN",
        "z\t2026-03-02 02:00:00\t0.25\tAGN",
    ]


def test_a_terminal_gets_a_table_without_what_messages_would_make_of_it(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    emit(ROWS, ("alert", "class"), as_json=False)
    out = capsys.readouterr().out
    assert "\x1b[31m" not in out
    assert "[bold]SN" in out
    assert "\t" not in out


def test_one_row(capsys):
    emit_one({"a": 1, "b": None, "c": {"x": 0.5, "y": None}}, as_json=False)
    assert capsys.readouterr().out == "a\t1\nb\t-\nc\tx 0.5, y -\n"
    emit_one(ROWS[1], as_json=True)
    assert json.loads(capsys.readouterr().out)["class"] == "AGN"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32([0.5, np.nan, np.inf]), [0.5, None, None]),
        (np.int64(3), 3),
        (np.float64("nan"), None),
        (b"\x00\xff", "00ff"),
        (date(2026, 3, 1), "2026-03-01"),
        ((1, {"x": float("-inf")}), [1, {"x": None}]),
        (True, True),
        (2**70, 2**70),
        (Coordinates(1, 0, 5, 0, 0, 1, 1), {"feed_id": 1, "segment": 0, "offset": 5, "record": 0, "item": 0,
                                            "records": 1, "items": 1}),
    ],
)  # fmt: skip
def test_values_in_json(value, expected):
    assert jsonable(value) == expected
    json.dumps(jsonable(value), allow_nan=False)


def test_what_it_cannot_print_is_an_error():
    with pytest.raises(TypeError, match="object"):
        jsonable(object())


def test_values_in_text():
    assert [shown(value) for value in (None, True, 1 / 3, b"\x01", [1, 2])] == [
        "-",
        "yes",
        "0.333333333",
        "01",
        "[1, 2]",
    ]
