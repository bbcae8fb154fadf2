"""``fulgor replay inspect`` as a user and as a script see it; ``produce`` needs a broker: tests/services."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest
from faketopic import TOPIC, FakeTopic, message, record
from typer.testing import CliRunner

from fulgor.cli import app
from fulgor.errors import ArchiveError, SettingsError
from fulgor.replay.trainingset import TrainingSet


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["replay", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_inspect_says_why_nothing_decodes(tmp_path: Path) -> None:
    (tmp_path / "1.avro").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    (tmp_path / "labels.csv").write_bytes(b"")
    code, out = run("inspect", tmp_path)
    assert code == 0
    assert "1 x .csv file" in out
    assert "git LFS pointer" in " ".join(out.split())


def test_inspect_of_a_cut_tarball_prints_what_there_is_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "night.tar"
    (tmp_path / "x.avro").write_bytes(os.urandom(4000))
    with tarfile.open(path, "w") as tar:
        tar.add(tmp_path / "x.avro", "1.avro")
        tar.add(tmp_path / "x.avro", "2.avro")
    path.write_bytes(path.read_bytes()[:8000])
    with pytest.raises(ArchiveError, match=r"2\.avro.*cut") as caught:
        run("inspect", path, "--json")
    assert caught.value.exit_code == 9


@pytest.mark.real
def test_inspect_json_is_one_object(shared: Path) -> None:
    folder = shared / "data" / "ztf" / "packets" / "boom"
    code, out = run("inspect", folder, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["identity"]["path"] == str(folder.resolve())
    assert found["messages"] == found["records"] == found["alerts"] == len(list(folder.iterdir()))
    assert found["undecodable"] == []
    assert found["failure"] is None


@pytest.mark.real
def test_inspect_prints_a_table(shared: Path) -> None:
    code, out = run("inspect", shared / "data" / "ztf" / "packets" / "kowalski")
    assert code == 0
    for word in ("messages", "objects", "nights", "bands", "schema versions", "codecs"):
        assert word in out


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """Some alerts that decode, in a folder of their own."""
    folder = tmp_path / "alerts"
    folder.mkdir()
    (folder / "a.avro").write_bytes((Path(__file__).parents[1] / "golden" / "ztf_alerts.avro").read_bytes())
    return folder


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--topic", "ztf_20260301_programid1"], "the ztf survey publishes on.*--yes-into ztf_20260301_programid1"),
        (["--topic", "night"], "settings tell consumers to read.*--yes-into night"),
        (["--topic", "replay", "--yes-into", "night"], "names another topic"),
        (["--topic", "replay", "--window", "soon"], "--window soon"),
        (["--topic", "replay", "--where", "magpsf"], "--where 'magpsf'"),
    ],
)
def test_nothing_gets_into_production_by_mistake(
    golden: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], problem: str
) -> None:
    monkeypatch.setenv("FULGOR_TOPIC", "night")
    with pytest.raises(SettingsError, match=problem):  # before any broker is asked
        run("produce", golden, *words, "--bootstrap", "127.0.0.1:1")


def test_nothing_gets_back_into_the_topic_that_was_recorded(tmp_path: Path) -> None:
    record(FakeTopic([message(0, 0)]), tmp_path / "out")
    with pytest.raises(SettingsError, match="recorded from"):
        run("produce", tmp_path / "out", "--topic", TOPIC, "--bootstrap", "127.0.0.1:1")


def test_check_of_a_recording(tmp_path: Path) -> None:
    record(FakeTopic([message(0, 0), message(0, 4), message(1, 0)]), tmp_path / "out")
    code, out = run("check", tmp_path / "out")
    assert code == 0
    assert "night[0]: offsets 0 to 4, 2 messages" in out
    found = json.loads(run("check", tmp_path / "out", "--json")[1])
    assert (found["messages"], found["files"], found["indexed"]) == (3, 1, 3)
    next((tmp_path / "out" / "index").rglob("*.parquet")).unlink()
    with pytest.raises(ArchiveError, match="has no index; --repair makes it"):
        run("check", tmp_path / "out")
    assert run("check", tmp_path / "out", "--repair")[0] == 0
    with pytest.raises(ArchiveError, match="not a recording"):
        run("check", tmp_path)


def test_prepare_says_how_labels_fit(golden: Path, tmp_path: Path) -> None:
    first = json.loads(run("prepare", golden, "--cache", tmp_path / "sets", "--json")[1])
    alert = str(TrainingSet.open(Path(first["folder"])).alerts[0])
    table = tmp_path / "labels.csv"
    table.write_text(f"candid,label\n{alert},SN\n12345,VS\n")
    again = json.loads(run("prepare", golden, "--cache", tmp_path / "sets", "--labels", table, "--json")[1])
    assert again["folder"] == first["folder"]
    assert (again["classes"], again["unknown"], again["unlabelled"]) == ({"SN": 1, "VS": 0}, 1, first["alerts"] - 1)
    assert "1 labels are of alerts that are not in it, such as 12345" in run(
        "prepare", golden, "--cache", tmp_path / "sets", "--labels", table
    )[1]  # fmt: skip
