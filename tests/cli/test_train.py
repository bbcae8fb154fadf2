from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fulgor.cli.app import app
from fulgor.cli.drift import sample
from fulgor.errors import ArchiveError, DeviceError, ModelError, SettingsError
from fulgor.models import device, training
from fulgor.models.card import model_hash
from fulgor.models.dataset import Dataset
from fulgor.models.finetuning import LOOKING_BACK, TuningConfig
from fulgor.models.lookback import ABSENT, earlier_alerts
from fulgor.models.serving import SHIPPED, load
from fulgor.preprocessing.ztf import DEFAULT
from fulgor.replay.simulate.ztf import simulate, write_archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    write_archive(simulate(count=250, seed=3), folder)
    (folder / "broken.avro").write_bytes(b"Obj\x01 and no more")
    return folder


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["train", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_an_archive_becomes_a_model(archive: Path, tmp_path: Path) -> None:
    options = ("--epochs", "1", "--size", "31", "--width", "1", "--cache", tmp_path / "cache")
    told = run("ztf", "--archive", archive, "--out", tmp_path / "model", *options)
    assert "250 alerts from" in told
    assert "1 malformed" in told
    assert "left out: broken.avro" in told
    assert (tmp_path / "model" / "curves.csv").exists()
    model = load(tmp_path / "model", "cpu")
    assert model.preprocessing_hash == DEFAULT.content_hash
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["data"]["simulated"] is True
    assert card["data"]["alerts"] == 250


def test_stored_history_is_learnt_where_it_is_asked_for(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[TuningConfig | None, bool]] = []

    def train(dataset: Dataset, *_: object, history: TuningConfig | None, **__: object) -> None:
        asked.append((history, bool((earlier_alerts(dataset) != ABSENT).any())))
        raise ModelError("enough")

    monkeypatch.setattr(training, "train", train)
    words = ("ztf", "--archive", archive, "--out", tmp_path, "--cache", tmp_path / "cache", "--seed", "7")
    for more in ((), ("--history-stamps",)):
        with pytest.raises(ModelError, match="enough"):
            run(*words, *more)
    assert asked == [(None, True), (replace(LOOKING_BACK, seed=7), True)]


def test_a_sample_of_single_alerts_says_nothing_of_stored_history(archive: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(SHIPPED / "ztf", tmp_path / "model"))
    card = json.loads((copy / "card.json").read_text())
    card["recurrence"]["history_stamps"] = True
    card["model_hash"] = model_hash(card)
    (copy / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="takes the stored stamps of earlier alerts"):
        sample(copy, archive)


def test_stored_history_is_for_ztf_alone(archive: Path) -> None:
    with pytest.raises(SettingsError, match="--history-stamps is for ztf"):
        run("leela", "--archive", archive, "--history-stamps")


@pytest.mark.parametrize("stream", ["ztf", "leela"])
def test_a_gpu_that_is_not_there_is_refused_before_anything_is_read(
    stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "gpu_count", lambda: 0)
    with pytest.raises(DeviceError, match="no CUDA device"):
        run(stream, "--archive", tmp_path / "absent", "--device", "cuda", "--out", tmp_path / "model")
    assert not any(tmp_path.iterdir())


def test_an_unknown_stream_is_refused() -> None:
    with pytest.raises(SettingsError, match="no training for stream 'lsst'"):
        run("lsst", "--archive", "x")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fulgor.cli.train.find_spec", lambda name: None)
    missing = "onnx and onnxscript and sklearn and zuko and coniferest"
    with pytest.raises(SettingsError, match=rf"needs {missing}: pip install 'fulgor\[train\]'"):
        run("ztf", "--archive", "x")


def test_labels_are_needed(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"labels\.csv cannot be read .* --labels"):
        run("ztf", "--archive", tmp_path)
    (tmp_path / "other.csv").write_text("id,kind\n1,SN\n")
    with pytest.raises(SettingsError, match="has no column alert or candid, label"):
        run("ztf", "--archive", archive, "--labels", tmp_path / "other.csv", "--cache", tmp_path)


def test_an_archive_without_alerts_is_an_error(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.avro").write_bytes(b"Obj\x01 and no more")
    with pytest.raises(ArchiveError, match=r"no alert could be prepared, 1 malformed \(the first: broken\.avro: "):
        run("ztf", "--archive", tmp_path, "--labels", archive / "labels.csv", "--cache", tmp_path / "cache")


def test_tuning_needs_more_archives_and_the_same_preparation(archive: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(SHIPPED / "ztf", base)
    options = ("--from-model", base, "--cache", tmp_path / "cache")
    with pytest.raises(SettingsError, match="--from-model needs --unlabelled and --rehearse"):
        run("ztf", "--archive", archive, *options)
    card = json.loads((base / "card.json").read_text())
    card["preprocessing_hash"] = "0123456789abcdef"
    card["model_hash"] = model_hash(card)
    (base / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"trained with preparation 0123456789abcdef.*train it again: fulgor train"):
        run("ztf", "--archive", archive, *options, "--unlabelled", archive, "--rehearse", archive)


def test_what_one_process_does_is_refused_to_several(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for options in (("leela", "--archive", archive), ("ztf", "--archive", archive, "--from-model", SHIPPED / "ztf")):
        with pytest.raises(SettingsError, match="trained by several processes; leave out torchrun"):
            run(*options)
