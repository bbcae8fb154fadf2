"""``fulgor models`` on a real database: the files go with it, and what makes no sense is refused with a reason."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fulgor.cli import app
from fulgor.consumer.modelsource import ModelSource
from fulgor.consumer.settings import load_settings
from fulgor.errors import FulgorError, ModelError
from fulgor.models.card import model_hash
from fulgor.models.serving import SHIPPED
from fulgor.models.store import ModelStore
from fulgor.replay.simulate.ztf import encode, simulate
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate
from fulgor.storage.registry import live_model, register_model
from fulgor.streams.registry import instrument, stream_table

pytestmark = pytest.mark.services


@pytest.fixture
def tables(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [stream_table("ztf")])
    monkeypatch.setenv("FULGOR_DATABASE", database)
    monkeypatch.setenv("FULGOR_MODEL_STORE", str(tmp_path / "store"))
    return database


def run(*words: str) -> dict:
    result = CliRunner().invoke(app, ["models", *words, "--json"])
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout)
    assert isinstance(found, dict | list)
    return found


def refused(*words: str) -> str:
    result = CliRunner().invoke(app, ["models", *words])
    assert isinstance(result.exception, FulgorError), result.exception
    return str(result.exception)


def copy(folder: Path, **changed: object) -> Path:
    """Return a copy of the shipped model with another card, and so another hash."""
    shutil.copytree(SHIPPED / "ztf", folder)
    fields = json.loads((folder / "card.json").read_text()) | changed
    fields["calibration"]["copy"] = folder.name
    fields["model_hash"] = model_hash(fields)
    (folder / "card.json").write_text(json.dumps(fields))
    return folder


def source(database: str, store: Path) -> ModelSource:
    ztf = instrument("ztf", load_settings({}))
    return ModelSource(database, ModelStore(store), lambda folder: ztf.load_model(folder, "cpu", 1), ztf.default_model)


def test_from_candidate_to_live_and_back(tables: str, tmp_path: Path):
    shipped = run("add", str(SHIPPED / "ztf"))
    assert shipped["status"] == "live"
    second = run("add", str(copy(tmp_path / "second", name="second")))
    assert second["status"] == "candidate"
    assert run("shadow", "second")["status"] == "shadow"
    assert run("promote", second["hash"][:8], "--note", "better")["status"] == "live"
    assert run("rollback", "--keep-shadow")["hash"] == shipped["hash"]
    assert [model["status"] for model in run("list")] == ["live", "shadow"]
    assert run("retire", "second")["status"] == "retired"
    actions = [(event["name"], event["action"], event["note"]) for event in run("list", "--history")]
    assert ("second", "promote", "better") in actions
    assert [event["action"] for event in run("show", "second")["history"]] == ["add", "shadow", "promote", "shadow",
                                                                               "retire"]  # fmt: skip
    again = CliRunner().invoke(app, ["models", "promote", "second"])
    assert "NULL in the views until 'fulgor replay rescore ztf' has made their rows" in again.stderr
    assert "no night has 20 alerts of a model that scores" in CliRunner().invoke(app, ["models", "drift"]).stderr


def test_what_is_refused_says_why(tables: str, tmp_path: Path):
    shipped = run("add", str(SHIPPED / "ztf"))["hash"]
    assert "no model 'deadbeef': 'fulgor models list' names" in refused("promote", "deadbeef")
    assert "is live already" in refused("promote", shipped)
    assert "is live already" in refused("shadow", shipped)
    assert "nothing to roll back to" in refused("rollback")
    other = copy(tmp_path / "other", name="other", preprocessing_hash="0" * 16)
    assert "trained with preparation 0000000000000000" in refused("add", str(other))
    card = json.loads((other / "card.json").read_text())
    with connect(tables) as connection:
        register_model(connection, card)
        register_model(connection, card | {"model_hash": "e" * 16, "name": "e", "preprocessing_hash": _preparation()})
    assert "trained with preparation 0000000000000000" in refused("promote", "other")
    assert "its folder with 'fulgor models add FOLDER'" in refused("promote", "e")
    (other / "model.onnx").write_bytes(b"cut")
    assert "is this the folder of a model?" in refused("add", str(tmp_path))


def test_two_models_named_at_the_start_score_side_by_side(tables: str, tmp_path: Path):
    night = tmp_path / "night"
    night.mkdir()
    for index, alert in enumerate(simulate(12, 5)):
        (night / f"{index}.avro").write_bytes(encode([alert.record]))
    words = ["--archive", str(night), "--model", str(SHIPPED / "ztf")]
    command = [sys.executable, "-m", "fulgor", "consume", "ztf", "--json", *words]
    twice = subprocess.run([*command, *words[2:]], capture_output=True, text=True, check=False)
    assert (twice.returncode, "named twice" in twice.stderr) == (7, True)
    done = subprocess.run([*command, "--model", str(copy(tmp_path / "second"))], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stored"] == 12
    with connect(tables) as connection:
        rows = "SELECT shadow, count(*), count(DISTINCT model_id) FROM fulgor.latent GROUP BY shadow ORDER BY shadow"
        assert connection.execute(rows).fetchall() == [(False, 12, 1), (True, 12, 1)]
        [account] = check(connection).accounts
        assert (account.stored, account.shadow, check(connection).closed) == (12, 12, True)


def test_a_live_model_of_another_version_says_what_to_type(tables: str, tmp_path: Path):
    old = json.loads((copy(tmp_path / "old", preprocessing_hash="0" * 16) / "card.json").read_text())
    with connect(tables) as connection:
        register_model(connection, old)
    with pytest.raises(ModelError, match=r"preparation 0+, .*'fulgor models add .*shipped/ztf', then 'fulgor models"):
        source(tables, tmp_path / "store").live(instrument("ztf", load_settings({})))


def _preparation() -> str:
    return instrument("ztf", load_settings({})).preprocessing_hash


def test_another_machine_gets_the_files_from_the_database(tables: str, tmp_path: Path):
    run("add", str(SHIPPED / "ztf"))
    folder = copy(tmp_path / "second", name="second")
    run("add", str(folder))
    run("promote", "second")
    shutil.rmtree(folder)
    store = tmp_path / "elsewhere"
    with connect(tables) as connection:
        live = live_model(connection, "ztf")
        assert source(tables, store).live(instrument("ztf", load_settings({}))).model_hash == live.hash
        assert [entry.name for entry in store.iterdir()] == [live.hash]
        connection.execute("DELETE FROM fulgor.model_file WHERE model_id = %s", [live.model_id])
        assert source(tables, store)(live).model_hash == live.hash  # its store has it now
        shutil.rmtree(store)
        with pytest.raises(ModelError, match=r"are neither in the store .* nor in the database"):
            source(tables, store)(live)


def test_a_sample_comes_with_the_model(tables: str, tmp_path: Path):
    night = tmp_path / "night"
    night.mkdir()
    for index, alert in enumerate(simulate(30, 5)):
        (night / f"{index}.avro").write_bytes(encode([alert.record]))
    (night / "broken.avro").write_bytes(b"Obj\x01 cut")
    folder = copy(tmp_path / "second", name="second")
    kept = run("sample", str(folder), "--archive", str(night), "--count", "25")
    assert (kept["size"], sum(kept["left_out"].values())) == (25, 1)
    run("add", str(folder))
    assert (ModelStore(tmp_path / "s").keep(_files(tables)) / kept["file"]).is_file()
    assert run("drift") == []


def _files(database: str) -> dict[str, bytes]:
    from fulgor.storage.modelfiles import read_files

    with connect(database) as connection:
        return read_files(connection, live_model(connection, "ztf").model_id)
