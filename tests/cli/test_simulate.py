from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from fulgor.cli import app
from fulgor.errors import SettingsError


def test_writes_a_folder_and_says_so(tmp_path):
    result = CliRunner().invoke(
        app, ["simulate", "ztf", "-n", "6", "--seed", "1", "--out", str(tmp_path / "out"), "--json"]
    )
    assert result.exit_code == 0, result.output
    done = json.loads(result.output)
    assert done["alerts"] == 6
    assert (tmp_path / "out" / "labels.csv").read_text().count("\n") == 7


def test_same_seed_same_files(tmp_path):
    for name in ("a", "b"):
        CliRunner().invoke(app, ["simulate", "ztf", "-n", "4", "--seed", "9", "--out", str(tmp_path / name)])
    first, second = (next((tmp_path / name).glob("*.avro")).read_bytes() for name in ("a", "b"))
    assert first == second


@pytest.mark.parametrize("where", [[], ["--out", "x", "--topic", "y"]])
def test_needs_one_destination(where):
    result = CliRunner().invoke(app, ["simulate", "ztf", "-n", "1", "--seed", "1", *where])
    assert isinstance(result.exception, SettingsError)
    assert "--out" in str(result.exception)
