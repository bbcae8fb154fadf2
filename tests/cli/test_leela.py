"""The commands of LEELA: simulate to files, convert a pickled file, and their refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fulgor.cli.app import app
from fulgor.errors import SettingsError
from fulgor.preprocessing.leela import LeelaDecoder
from fulgor.replay.archive import open_archive


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [*map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_simulated_chunks_go_to_files(tmp_path: Path):
    words = ("--count", "12", "--seed", "4", "--sites", "5", "--flashes", "0.5", "--out", tmp_path / "storm", "--json")
    done = json.loads(run("simulate", "leela", *words))
    assert done["chunks"] == 12
    [message] = open_archive(tmp_path / "storm")
    assert len(LeelaDecoder()(message.value)) == 12
    assert message.time_ms is not None
    assert {path.name for path in (tmp_path / "storm").iterdir()} >= {
        "labels.csv",
        "pulses.csv",
        "strokes.csv",
        "nodes.json",
    }


@pytest.mark.parametrize("words", [(), ("--out", "x", "--topic", "y"), ("--out", "x", "--mode", "odd")])
def test_what_cannot_be_simulated_is_refused(words):
    with pytest.raises(SettingsError, match="--"):
        run("simulate", "leela", "--count", "1", "--seed", "1", *words)


def test_a_pickled_file_is_converted_with_a_warning(tmp_path: Path):
    rows = np.zeros(2, [("starttime", "M8[ns]"), ("smplint", "f8"), ("wvfmdata", "f8", (64,))])
    np.save(tmp_path / "old.npy", {0: np.array(rows[0]), 1: np.array(rows[1])}, allow_pickle=True)
    with pytest.raises(SettingsError, match="--allow-pickle"):
        run("replay", "convert", tmp_path / "old.npy", tmp_path / "new.npy")
    told = run("replay", "convert", tmp_path / "old.npy", tmp_path / "new.npy", "--allow-pickle")
    assert "warning" in told
    assert "2 chunks" in told
    assert len(np.load(tmp_path / "new.npy")) == 2
