"""``fulgor replay inspect`` as a user and as a script see it; ``produce`` needs a broker: tests/services."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fulgor.cli import app
from fulgor.errors import ArchiveError


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
