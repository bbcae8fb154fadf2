"""Old rows brought up to date: by two processes, after kill -9, once and not twice."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Producer
from following_consumer import card
from live import until
from toy import TABLE
from toyrun import count, finish, produce, query
from typer.testing import CliRunner

from fulgor.cli import app
from fulgor.models.card import model_hash
from fulgor.models.serving import SHIPPED
from fulgor.replay.rescore import outcome, rescore_group
from fulgor.replay.simulate.ztf import encode, simulate
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.lifecycle import promote
from fulgor.storage.migrate import migrate
from fulgor.storage.registry import get_model, live_model, register_model
from fulgor.storage.stale import count_unscored
from fulgor.streams.registry import stream_table

pytestmark = pytest.mark.services

SUPPORT = Path(__file__).resolve().parents[1] / "support"
TOYS = 400


def process(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, SUPPORT / script, *arguments], stderr=subprocess.PIPE, text=True)


@pytest.fixture
def consumed(kafka_broker, make_topic: Callable, database: str) -> tuple[str, str, str]:
    """Toys scored by model 1, after which model 2 went live."""
    bootstrap, name = kafka_broker.bootstrap, make_topic(kafka_broker, 4)
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    with connect(database) as connection:
        register_model(connection, card("1"))
        produce(bootstrap, name, range(TOYS), 4, value=7.0)
        finish(process("following_consumer.py", bootstrap, name, database, "g", "auto", "--until-end"))
        promote(connection, get_model(connection, register_model(connection, card("2"))))
    return bootstrap, name, database


def test_two_processes_share_it_and_one_is_killed(consumed):
    bootstrap, topic, database = consumed
    with connect(database) as connection:
        live = live_model(connection, "toy")
        assert count_unscored(connection, live) == TOYS
        first = process("rescoring.py", bootstrap, topic, database, "2")
        until(lambda: count(database) > TOYS + 20, "the rescore does not begin")
        first.send_signal(signal.SIGKILL)
        first.communicate()
        both = [process("rescoring.py", bootstrap, topic, database, "2") for _ in range(2)]
        for one in both:
            finish(one)
        done = outcome(connection, live, rescore_group(live), TOYS)
        assert (done.after, done.stored, done.duplicates, done.dead) == (0, TOYS, 0, 0)
        values = "SELECT DISTINCT (latent::real[])[1], shadow FROM fulgor.latent WHERE model_id = %s"
        assert connection.execute(values, [live.model_id]).fetchall() == [(14.0, False)]
        finish(process("rescoring.py", bootstrap, topic, database, "2"))  # again: there is nothing to do
        assert outcome(connection, live, rescore_group(live), TOYS) == done
        assert check(connection).closed
    left = query(database, "SELECT count(*) FROM fulgor.feed WHERE group_name = 'g' AND next_offset = 100")
    assert left == [(4,)]  # the first group stands where it stood


@pytest.fixture
def night(any_broker, make_topic: Callable, database: str, monkeypatch, tmp_path: Path) -> str:
    """A topic of simulated ZTF alerts; the database and the broker are named by the environment."""
    topic = make_topic(any_broker, 4)
    producer = Producer({"bootstrap.servers": any_broker.bootstrap})
    for index, alert in enumerate(simulate(40, 3)):
        producer.produce(topic, encode([alert.record]), partition=index % 4)
    assert producer.flush(60) == 0
    with connect(database, vectors=False) as connection:
        migrate(connection, [stream_table("ztf")])
    monkeypatch.setenv("FULGOR_DATABASE", database)
    monkeypatch.setenv("FULGOR_BOOTSTRAP", any_broker.bootstrap)
    monkeypatch.setenv("FULGOR_TOPIC", topic)
    monkeypatch.setenv("FULGOR_MODEL_STORE", str(tmp_path / "store"))
    return database


def fulgor(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "fulgor", *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def another(folder: Path) -> Path:
    """Return a copy of the shipped model under another hash: it gives the same results."""
    shutil.copytree(SHIPPED / "ztf", folder)
    fields = json.loads((folder / "card.json").read_text())
    fields["name"], fields["calibration"]["copy"] = "copy", 1
    fields["model_hash"] = model_hash(fields)
    (folder / "card.json").write_text(json.dumps(fields))
    return folder


@pytest.mark.slow
def test_two_workers_give_what_one_process_gave(night: str, tmp_path: Path):
    fulgor("consume", "ztf", "--until-end")
    runner = CliRunner()
    added = json.loads(runner.invoke(app, ["models", "add", str(another(tmp_path / "copy")), "--json"]).stdout)
    assert added["status"] == "candidate"
    assert runner.invoke(app, ["models", "promote", added["hash"]]).exit_code == 0
    done = json.loads(fulgor("replay", "rescore", "ztf", "--workers", "2", "--json"))
    assert (done["before"], done["after"], done["stored"], done["duplicates"]) == (40, 0, 40, 0)
    with connect(night) as connection:
        pairs = connection.execute(
            "SELECT a.latent, b.latent, a.anomaly, b.anomaly FROM fulgor.latent a JOIN fulgor.latent b USING (alert)"
            " WHERE a.model_id < b.model_id"
        ).fetchall()
        assert len(pairs) == 40
        for one, two, *anomalies in pairs:
            np.testing.assert_allclose(one.to_numpy(), two.to_numpy(), rtol=0, atol=1e-5)
            np.testing.assert_allclose(*anomalies, atol=1e-4)
        assert check(connection).closed
    again = json.loads(runner.invoke(app, ["replay", "rescore", "ztf", "--json"]).stdout)
    assert (again["before"], again["stored"]) == (0, 40)
    stale = json.loads(runner.invoke(app, ["models", "stale", "--json"]).stdout)
    assert [(row["status"], row["rows"], row["stale"]) for row in stale] == [("retired", 40, 0), ("live", 40, 0)]
