"""Alerts that come out of order: once the job has settled them, the order has left no trace."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import psycopg
import pytest
import torch
from confluent_kafka import Producer
from faketopic import TOPIC, FakeTopic
from faketopic import message as topic_message
from faketopic import record as record_topic
from remembering import random_model
from typer.testing import CliRunner

from fulgor.cli import app, services
from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.lineup import Scorer
from fulgor.consumer.settings import Settings
from fulgor.jobs import run_jobs
from fulgor.latehistory import settle_history
from fulgor.models.serving import LoadedModel
from fulgor.models.store import model_files
from fulgor.replay import settle as settling
from fulgor.replay.lookup import MessageFinder
from fulgor.replay.settle import Settled, settle
from fulgor.replay.simulate.ztf import SimulatedAlert, encode, simulate
from fulgor.replay.source import ArchiveSource
from fulgor.storage.database import Connection, connect
from fulgor.storage.history import find_late
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate
from fulgor.storage.modelfiles import write_files
from fulgor.storage.registry import find_model, register_model
from fulgor.storage.rescores import read_backlog
from fulgor.streams.ztf import ZTF

pytestmark = pytest.mark.services

ROWS = "SELECT alert, latent, scores, probabilities, anomaly, history FROM fulgor.latents ORDER BY alert"
Row = tuple[Any, ...]


@pytest.fixture(scope="module")
def alerts() -> list[SimulatedAlert]:
    """Alerts of some objects with several each, in time order."""
    torch.set_num_threads(1)
    found = list(simulate(44, 5, mix={"AGN": 0.5, "VS": 0.5}))
    assert Counter(alert.object_id for alert in found).most_common(3)[-1][1] >= 4
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return random_model(tmp_path_factory.mktemp("model") / "random")


@pytest.fixture(scope="module")
def expected(alerts: list[SimulatedAlert], model: LoadedModel) -> list[Row]:
    """What the alerts come to when all stamp latents are known beforehand: computed without any database."""
    stream = ZTF(Settings())
    items = [
        item for alert in alerts for record in stream.decode(encode([alert.record])) for item in stream.prepare(record)
    ]
    arrays = {name: np.stack([item.arrays[name] for item in items]) for name in items[0].arrays}
    stamps = model.predict(arrays)["stamp_latent"]
    known = {(item.object, item.step_times[-1]): (item.alert, z) for item, z in zip(items, stamps, strict=True)}
    found = [[known.get((item.object, jd)) for jd in item.step_times[:-1]] for item in items]
    history = np.array([[np.zeros(64, np.float32) if one is None else one[1] for one in steps] for steps in found])
    mask = np.array([[one is not None for one in steps] for steps in found], np.float32)
    output = model.predict({**arrays, "history": history, "history_mask": mask})
    lists = [[one[0] for one in steps if one is not None] for steps in found]
    assert sum(map(len, lists)) > 60
    names = ("latent", "scores", "probabilities", "anomaly")
    rows = [
        (item.alert, *(output[name][number] for name in names), used)
        for number, (item, used) in enumerate(zip(items, lists, strict=True))
    ]
    return sorted(rows, key=lambda row: row[0])


@pytest.fixture(autouse=True)
def _found(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs load the model from here: it has no graph that they could load from the database."""
    monkeypatch.setattr(services, "model_source", lambda *_: lambda _: model)


def take_in(database: str, model: LoadedModel, archive: Path, group: str = "g") -> None:
    settings = Settings(batch_size=4)
    source = ArchiveSource(archive)
    what = Consumption(ZTF(settings), model, database, group)
    consume(what, lambda: source, settings, title="ztf", until_end=True)
    source.raise_failure()


def stored(connection: Connection) -> list[Row]:
    return connection.execute(ROWS).fetchall()


def difference(some: Sequence[Row], others: Sequence[Row]) -> float:
    """Return the largest difference of latents, scores, probabilities and ranks, relative where they exceed 1."""
    assert [row[0] for row in some] == [row[0] for row in others]
    ours, theirs = (np.array([numbers(row) for row in rows]) for rows in (some, others))
    return float(np.nanmax(np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1.0)))


def numbers(row: Row) -> np.ndarray:
    parts = [
        part.to_numpy() if hasattr(part, "to_numpy") else np.atleast_1d(np.array(part, float)) for part in row[1:5]
    ]
    return np.concatenate(parts)


@pytest.fixture
def shuffled(database: str, alerts, model, tmp_path: Path) -> str:
    """A database that got the alerts in an order drawn by lot, from two archives."""
    with connect(database, vectors=False) as connection:
        migrate(connection, [ZTF.table])
    order = np.random.default_rng(2).permutation(len(alerts)).tolist()
    for name, part in (("one", order[:20]), ("two", order[20:])):
        (tmp_path / name).mkdir()
        for place, number in enumerate(part):
            (tmp_path / name / f"{place:03}.avro").write_bytes(encode([alerts[number].record]))
        take_in(database, model, tmp_path / name)
    return database


def test_a_shuffled_arrival_leaves_no_trace(shuffled, expected, model, tmp_path: Path):
    database = shuffled
    settings = Settings(database=database)
    with connect(database) as connection:
        assert difference(stored(connection), expected) > 0.01
        said = settle_history(connection, settings)
        assert " gone, 0 wait" in said
        settled = stored(connection)
        assert difference(settled, expected) <= 1e-5
        assert [row[5] for row in settled] == [row[5] for row in expected]
        assert check(connection).closed
        assert settle_history(connection, settings) == "0 rows late"
        take_in(database, model, tmp_path / "one", "again")  # duplicates
        assert connection.execute("SELECT count(*) FROM fulgor.duplicate").fetchone() == (20,)
        assert settle_history(connection, settings) == "0 rows late"
        assert stored(connection) == settled
        assert check(connection).closed


def test_an_interrupted_job_goes_on(shuffled, expected, model, monkeypatch: pytest.MonkeyPatch):
    database = shuffled
    monkeypatch.setattr(settling, "_PAGE", 4)
    with connect(database) as connection:
        find_late(connection)
        before = read_backlog(connection).late
        model_id = find_model(connection, model.model_hash, "ztf").model_id
    asked = []

    class Ended(MessageFinder):
        def find(self, places, *, timeout_s=0.0):
            asked.append(1)
            if len(asked) == 3:  # the session is killed in the third page
                with psycopg.connect(database, autocommit=True) as other:
                    other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
            return super().find(places, timeout_s=timeout_s)

    with pytest.raises(psycopg.OperationalError), connect(database) as connection:
        settle(connection, ZTF(Settings()), Scorer(model_id, model), Ended())
    with connect(database) as connection:
        assert read_backlog(connection).late == before - 8
        settle_history(connection, Settings(database=database))
        assert difference(stored(connection), expected) <= 1e-5
        assert check(connection).closed


def test_what_is_gone_is_marked_and_may_come_back(shuffled, expected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    database = shuffled
    monkeypatch.setenv("FULGOR_DATABASE", database)
    shutil.move(tmp_path / "one", tmp_path / "elsewhere")
    run_jobs(database, Settings(), every_s=None, stopping=Event())
    with connect(database) as connection:
        backlog = read_backlog(connection)
        assert (backlog.late, backlog.gone > 3) == (0, True)
        reasons = connection.execute("SELECT DISTINCT gone FROM fulgor.late_history").fetchall()
        assert reasons == [(f"archive {tmp_path / 'one'} is not there any more",)]
        assert difference(stored(connection), expected) > 0.01
    shutil.move(tmp_path / "elsewhere", tmp_path / "one")
    runner = CliRunner()
    assert runner.invoke(app, ["jobs", "run"]).exit_code == 0
    status = json.loads(runner.invoke(app, ["jobs", "status", "--json"]).stdout)
    [told] = [job["waiting"] for job in status if job["job"] == "late-history"]
    assert told == f"0 rows late, 0 not compared yet, {backlog.gone} gone"
    assert runner.invoke(app, ["jobs", "run", "--retry-gone"]).exit_code == 0
    with connect(database) as connection:
        assert difference(stored(connection), expected) <= 1e-5
        assert read_backlog(connection).gone == 0


def test_a_promoted_model_says_what_it_has_not_seen(shuffled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FULGOR_DATABASE", shuffled)
    second = random_model(tmp_path / "second", seed=8)
    with connect(shuffled) as connection:
        write_files(connection, register_model(connection, second.card), model_files(tmp_path / "second"))
    told = CliRunner().invoke(app, ["models", "promote", second.model_hash])
    assert told.exit_code == 0, told.exception
    assert "44 stored alerts have no row of this model: in the histories of later ones they are 'absent'" in told.stderr
    take_in(shuffled, second, tmp_path / "two", "second")
    take_in(shuffled, second, tmp_path / "one", "second")
    with connect(shuffled) as connection:
        shown = "SELECT sum(history_absent) > 0, count(*) FROM fulgor.latents GROUP BY model_id"
        assert connection.execute(shown).fetchall() == [(True, 44), (True, 44)]


def test_messages_come_from_the_topic(
    database: str, embedded_broker, make_topic: Callable[..., str], alerts, model, monkeypatch: pytest.MonkeyPatch
):
    with connect(database, vectors=False) as connection:
        migrate(connection, [ZTF.table])
    topic = make_topic(embedded_broker, 2)
    producer = Producer({"bootstrap.servers": embedded_broker.bootstrap})
    for place, alert in enumerate(reversed(alerts[:24])):
        producer.produce(topic, encode([alert.record]), partition=place % 2)
    assert producer.flush(60) == 0
    settings = Settings(bootstrap=embedded_broker.bootstrap, database=database, batch_size=4)
    what = Consumption(ZTF(settings), model, database, "g")
    consume(what, lambda: kafka_source(settings, topic, "g"), settings, title="ztf", until_end=True)
    with connect(database) as connection:
        late = find_late(connection)
        assert late > 5
        scorer = Scorer(find_model(connection, model.model_hash, "ztf").model_id, model)
        # Without a broker to ask, nothing is given up.
        assert settle(connection, what.stream, scorer, MessageFinder()) == Settled(left=late)
        assert settle_history(connection, settings) == f"0 rows late, {late} revised, 0 gone, 0 wait"
        missing = connection.execute(
            "SELECT l.alert FROM fulgor.latent l"
            " CROSS JOIN LATERAL unnest(l.history_times, l.history) AS h (time, alert)"
            " JOIN fulgor.latent e ON e.object = l.object AND e.time = h.time WHERE h.alert IS DISTINCT FROM e.alert"
        ).fetchall()
        assert missing == []
        assert check(connection).closed


def test_what_a_topic_has_forgotten_comes_from_its_recording(
    database: str, alerts, model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FULGOR_DATABASE", database)
    monkeypatch.setenv("FULGOR_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setattr("fulgor.consumer.kafkaadmin._TIMEOUT_S", 0.0)  # nobody answers there anyway
    with connect(database, vectors=False) as connection:
        migrate(connection, [ZTF.table])
    values = [encode([alert.record]) for alert in reversed(alerts[:24])]
    (tmp_path / "read").mkdir()
    for place, value in enumerate(values):
        (tmp_path / "read" / f"{place:03}.avro").write_bytes(value)
    take_in(database, model, tmp_path / "read")
    record_topic(FakeTopic([topic_message(0, *each) for each in enumerate(values)]), tmp_path / "nights")
    runner = CliRunner()
    with connect(database) as connection:
        # As if these messages had been read from the topic that was recorded.
        connection.execute(
            "UPDATE fulgor.feed SET cluster = %s, topic = %s, topic_id = 'id-1'", [FakeTopic.cluster, TOPIC]
        )
        assert runner.invoke(app, ["jobs", "run"]).exit_code == 0
        late = read_backlog(connection).late
        assert late > 3  # they wait: no broker answers
        away = Settings(bootstrap="127.0.0.1:1", database=database, recordings=(tmp_path / "away",))
        assert settle_history(connection, away) == f"0 rows late, 0 revised, 0 gone, {late} wait"
        refused = runner.invoke(app, ["jobs", "run", "--recording", str(tmp_path)])
        assert "not a recording" in str(refused.exception)
        told = runner.invoke(app, ["jobs", "run", "--recording", str(tmp_path / "nights")])
        assert told.exit_code == 0, told.exception
        assert (read_backlog(connection).gone, read_backlog(connection).late) == (0, 0)
        revised = "SELECT count(*) FROM fulgor.latent WHERE revised_at IS NOT NULL"
        assert connection.execute(revised).fetchall() == [(late,)]
        assert check(connection).closed
