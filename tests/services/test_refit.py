"""``fulgor models refit``: another reference behind the percentiles of the same model."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fulgor.cli import app
from fulgor.consumer.modelsource import ModelSource
from fulgor.consumer.settings import load_settings
from fulgor.errors import FulgorError, ModelError
from fulgor.models.serving import SHIPPED
from fulgor.models.store import ModelStore
from fulgor.storage.database import connect
from fulgor.storage.migrate import migrate
from fulgor.storage.partitions import Partitions
from fulgor.storage.registry import live_model
from fulgor.streams.registry import instrument, stream_table

pytestmark = pytest.mark.services

NIGHT = datetime(2026, 3, 1, 5, tzinfo=UTC)


@pytest.fixture
def scored(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The shipped model, and a night of 300 objects in which all its scores lie higher than in the reference."""
    with connect(database, vectors=False) as connection:
        migrate(connection, [stream_table("ztf")])
    monkeypatch.setenv("FULGOR_DATABASE", database)
    monkeypatch.setenv("FULGOR_MODEL_STORE", str(tmp_path / "store"))
    run("add", str(SHIPPED / "ztf"))
    with connect(database) as connection:
        model = live_model(connection, "ztf")
        Partitions(connection, stream_table("ztf")).ensure([NIGHT])
        random = np.random.default_rng(0)
        for number in range(600):  # two of each object, of which one counts
            scores: list[float | None] = random.gamma(9.0, 100.0, len(model.scores)).tolist()
            scores[1] = scores[1] if number % 3 else None
            connection.execute(
                'INSERT INTO fulgor.latent (stream, alert, model_id, time, object, feed_id, segment, "offset", record,'
                " item, records, items, flags, scores, anomaly)"
                " VALUES ('ztf', %s, %s, %s, %s, 1, 0, %s, 0, 0, 1, 1, 0, %s, 1)",
                [f"a{number}", model.model_id, NIGHT, f"o{number // 2}", number, scores],
            )
    return database


def run(*words: str) -> dict:
    result = CliRunner().invoke(app, ["models", *words, "--json"])
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def refused(*words: str) -> FulgorError:
    result = CliRunner().invoke(app, ["models", *words])
    assert isinstance(result.exception, FulgorError), result.exception
    return result.exception


def test_the_model_stays_and_ranks_anew(scored: str, tmp_path: Path) -> None:
    with connect(scored) as connection:
        before = live_model(connection, "ztf")
    told = run("refit", "--night", "2026-03-01")
    assert told["alerts"] == 300
    assert told["source"] == "300 objects of stream ztf from 2026-03-01 to 2026-03-01"
    with connect(scored) as connection:
        after = live_model(connection, "ztf")
    assert (after.hash, after.model_id, after.status) == (before.hash, before.model_id, "live")
    assert after.reference == told["reference"] != before.reference == told["before"]
    assert after.card["reference"]["combined"] == before.card["reference"]["combined"]
    # A consumer on any machine loads the model with the new reference, and ranks in it.
    ztf = instrument("ztf", load_settings({}))
    store = ModelStore(tmp_path / "elsewhere")
    loaded = ModelSource(scored, store, lambda folder: ztf.load_model(folder, "cpu", 1), ztf.default_model)(after)
    assert loaded.reference_id == told["reference"]
    typical = np.full((1, len(after.scores)), 900.0)
    assert 0.3 < loaded._reference.anomaly(typical)[0] < 0.8


def test_what_cannot_be_fitted_is_refused_and_nothing_changes(scored: str) -> None:
    assert "no alert of that time" in str(refused("refit", "--night", "2020-01-01"))
    with connect(scored) as connection:
        connection.execute("UPDATE fulgor.latent SET scores[2] = NULL WHERE object <> 'o1'")
        before = live_model(connection, "ztf").reference
    error = refused("refit", "--night", "2026-03-01")
    assert isinstance(error, ModelError)
    assert "score 'sequence' and needs 20" in str(error)
    with connect(scored) as connection:
        assert live_model(connection, "ztf").reference == before


def test_files_that_are_not_in_the_database_are_asked_for(scored: str) -> None:
    with connect(scored) as connection:
        connection.execute("DELETE FROM fulgor.model_file")
    assert "fulgor models add FOLDER" in str(refused("refit", "--night", "2026-03-01"))
