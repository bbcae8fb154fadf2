from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from fulgor.cli.app import app
from fulgor.errors import ModelError, SettingsError
from fulgor.models.evaluation import rulers
from fulgor.models.evaluation.alerts import AlertSet
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


class Guess:
    """Tells every alert to be of the first class; counts how often it was fitted."""

    name, fits = "guess", 0

    def fit(self, alerts: AlertSet, train: np.ndarray) -> Guess:
        Guess.fits += 1
        return self

    def predict_proba(self, alerts: AlertSet, index: np.ndarray) -> np.ndarray:
        return np.tile([0.6, 0.1, 0.1, 0.1, 0.1], (len(index), 1))


def test_a_tuning_is_measured_in_folds_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rulers, "RULERS", [])
    given: list[set[str]] = []

    def tuning(base: Path, unlabelled: list[Path], rehearse: Path, measured: set[str], **rest: object) -> object:
        given.append(measured)
        return SimpleNamespace(method=Guess())

    monkeypatch.setattr("fulgor.cli.tune_ztf.tuning", tuning)
    write_archive(simulate(count=60, seed=9), tmp_path / "night")
    base = ("ztf", "--archive", tmp_path / "night", "--out", tmp_path / "out", "--no-groups", "--no-pictures")
    tuned = ("--tuned-from", "base", "--unlabelled", "more", "--rehearse", "simulated")
    told = run(*base, *tuned)
    assert "| guess | 60 |" in told
    assert "| ztf" not in told
    assert (Guess.fits, len(given[0]) > 10) == (5, True)
    assert run(*base, *tuned, "--resume") == told
    assert Guess.fits == 5
    with pytest.raises(SettingsError, match="needs --unlabelled and --rehearse"):
        run(*base, "--tuned-from", "base")


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
