from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from fulgor.cli.app import app
from fulgor.errors import ArchiveError, ModelError, SettingsError
from fulgor.models.serving import SHIPPED
from fulgor.replay.simulate.ztf import simulate, write_archive

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    write_archive(simulate(count=40, seed=6), folder)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def rows(archive: Path) -> list[list[str]]:
    return [line.split(",") for line in (archive / "labels.csv").read_text().splitlines()[1:]]


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["plot", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_an_alert_beside_what_is_rebuilt_of_it(archive: Path, cache: Path, rows: list, tmp_path: Path) -> None:
    out = tmp_path / "alert.png"
    assert run("alert", archive, rows[0][0], "--out", out, "--cache", cache).strip() == str(out)
    assert out.read_bytes().startswith(PNG)
    with pytest.raises(ArchiveError, match=r"holds no alert 17 that can be scored \(the first are \d+"):
        run("alert", archive, "17", "--out", out, "--cache", cache)
    with pytest.raises(SettingsError, match=r"cannot be written: No such .* give another place with --out"):
        run("alert", archive, rows[0][0], "--out", tmp_path / "nowhere" / "alert.png", "--cache", cache)


@pytest.mark.parametrize("colour", ["told", "label", "anomaly"])
def test_the_latents_of_an_archive(archive: Path, cache: Path, tmp_path: Path, colour: str) -> None:
    run("latents", archive, "--colour", colour, "--latent", "stamp", "--out", tmp_path / "map.png", "--cache", cache)
    assert (tmp_path / "map.png").read_bytes().startswith(PNG)


def test_umap_is_an_extra(archive: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fulgor.plots.maps.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"UMAP needs umap-learn: pip install 'fulgor\[umap\]', or"):
        run("latents", archive, "--umap", "--out", tmp_path / "map.png", "--cache", cache)
    given: list[np.ndarray] = []
    fake = SimpleNamespace(fit_transform=lambda rows: given.append(rows) or rows[:, :2])
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=lambda **_: fake))
    monkeypatch.setattr("fulgor.plots.maps.find_spec", lambda name: object())
    run("latents", archive, "--umap", "--out", tmp_path / "map.png", "--cache", cache)
    np.testing.assert_allclose(given[0].std(axis=0), 1.0, rtol=1e-6)


def test_labels_of_other_classes_are_refused(archive: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("candid,label\n1,cat\n")
    with pytest.raises(SettingsError, match=r"has a label that is one of AGN, SN, .*check --labels"):
        run("latents", archive, "--colour", "label", "--labels", tmp_path / "other.csv", "--cache", cache)


def test_the_path_of_an_object(archive: Path, cache: Path, rows: list, tmp_path: Path) -> None:
    counts = Counter(row[1] for row in rows)
    many, single = counts.most_common(1)[0][0], counts.most_common()[-1][0]
    assert counts[many] > 1 == counts[single]
    run("path", archive, many, "--out", tmp_path / "path.png", "--cache", cache)
    assert (tmp_path / "path.png").read_bytes().startswith(PNG)
    with pytest.raises(ArchiveError, match=rf"holds 1 alerts of {single}, a path needs two: those of most alerts are"):
        run("path", archive, single, "--cache", cache)


def test_the_curves_of_a_training(tmp_path: Path) -> None:
    table = tmp_path / "curves.csv"
    table.write_text("epoch,training_loss,validation_loss\n1,2.0,2.1\n2,1.5,1.9\n")
    run("curves", tmp_path, "--out", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(PNG)
    table.write_text("epoch,training_loss,validation_loss\n")
    with pytest.raises(ModelError, match="holds no pass yet"):
        run("curves", tmp_path)
    table.write_text("epoch,loss\n1,2.0\n")
    with pytest.raises(ModelError, match="cannot be read"):
        run("curves", tmp_path)
    with pytest.raises(ModelError, match=r"has no curves\.csv: .* shipped and tuned models have none"):
        run("curves", SHIPPED / "ztf")
