from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fulgor.cli.app import app
from fulgor.errors import ModelError, SettingsError
from fulgor.models.evaluation import rulers
from fulgor.replay.simulate.ztf import simulate, write_archive


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_shipped_model_beside_its_rulers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rulers, "RULERS", [one for one in rulers.RULERS if one.name == "metadata only"])
    write_archive(simulate(count=60, seed=9), tmp_path / "night")
    told = run("ztf", "--archive", tmp_path / "night", "--out", tmp_path / "out", "--no-groups")
    assert "night: 60 labelled alerts" in told
    assert "| metadata only | 60 |" in told
    assert (tmp_path / "out" / "tables.md").read_text() == told
    assert {"confusion.png", "roc.png", "reliability.png"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_what_cannot_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="no evaluation for stream 'leela'"):
        run("leela", "--archive", tmp_path)
    write_archive(simulate(count=5, seed=9), tmp_path / "night")
    table = tmp_path / "night" / "labels.csv"
    table.write_text("candid,label\n" + "".join(f"{line.split(',')[0]},\n" for line in table.read_text().split()[1:]))
    with pytest.raises(ModelError, match=r"no alert of .* has a label"):
        run("ztf", "--archive", tmp_path / "night")
    monkeypatch.setattr("fulgor.cli.evaluate.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="needs scikit-learn"):
        run("ztf", "--archive", tmp_path)
