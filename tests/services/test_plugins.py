"""A stream of somebody else's package, found by its entry point and consumed by the real command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import toy_plugin
from confluent_kafka import Producer
from toy import message, record
from toyrun import query

from fulgor.consumer.settings import Settings
from fulgor.errors import SettingsError
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.streams.registry import instrument, stream_table

pytestmark = pytest.mark.services

SUPPORT = Path(toy_plugin.__file__).parent


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages, of which one offers the toy stream."""
    folder = tmp_path / "site"
    toy_plugin.offer(folder, "toy-shop", toy="toy_plugin:Toy")
    toy_plugin.write_model(tmp_path / "model")
    return folder


def fulgor(site: Path, *words: str, database: str = "") -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FULGOR_")}
    places = [str(site), str(SUPPORT), *filter(None, [kept.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(places), "TOY_MODEL": str(site.parent / "model"), "FULGOR_DATABASE": database}
    return subprocess.run(
        [sys.executable, "-m", "fulgor", *words],
        env=kept | own | {"FULGOR_HOME": str(site.parent / "home")},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_a_plugged_in_stream_is_consumed_by_the_command_line(
    any_broker, make_topic: Callable, database: str, site: Path
):
    name, where = make_topic(any_broker), any_broker.bootstrap
    values = [
        message(record("one"), record("none", items=0), record("three", items=3)),
        message(record("four", items=4, unscorable="too dark")),
        message(),
        message(record("bad", **{"break": "prepare"}), record("two", items=2), record("one")),
        message(record("none", items=0)),
    ]
    producer = Producer({"bootstrap.servers": where})
    for value in values:
        producer.produce(name, value)
    assert producer.flush(60) == 0

    assert fulgor(site, "db", "migrate", database=database).returncode == 0
    words = ["--topic", name, "--bootstrap", where, "--until-end", "--json"]
    consumed = fulgor(site, "consume", "toy", *words, database=database)
    assert consumed.returncode == 0, consumed.stderr
    counts = json.loads(consumed.stdout)
    assert (counts["messages"], counts["stored"], counts["duplicate"], counts["dead"]) == (5, 10, 1, 1)

    items = 'SELECT "offset", record, item, records, items, alert FROM fulgor.latent ORDER BY 1, 2, 3'
    assert query(database, items) == [
        (0, 0, 0, 3, 1, "one"), (0, 2, 0, 3, 3, "three/0"), (0, 2, 1, 3, 3, "three/1"), (0, 2, 2, 3, 3, "three/2"),
        *((1, 0, item, 1, 4, f"four/{item}") for item in range(4)),
        (3, 1, 0, 3, 2, "two/0"), (3, 1, 1, 3, 2, "two/1"),
    ]  # fmt: skip
    empty = 'SELECT "offset", record, records FROM fulgor.empty ORDER BY 1, 2'
    assert query(database, empty) == [(0, 1, 3), (2, -1, 0), (4, 0, 1)]

    checked = fulgor(site, "ledger", "--check", "--json", database=database)
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["closed"] is True
    query(database, "DELETE FROM fulgor.latent WHERE alert = 'three/1' RETURNING 1")
    with connect(database) as connection:
        [finding] = check(connection).findings
    assert (finding.offset, finding.detail) == (0, "record 2: item 1 of 3 is not accounted for")


def test_the_listing_names_who_offers_a_stream(site: Path):
    listed = json.loads(fulgor(site, "streams", "--json").stdout)
    assert {"name": "toy", "package": "toy-shop", "version": "1.2", "object": "toy_plugin:Toy"} in listed
    assert "ztf" in {offer["name"] for offer in listed}
    help_text = " ".join(fulgor(site, "consume", "--help").stdout.replace("│", " ").split())
    assert "fulgor streams" in help_text


@pytest.mark.parametrize(
    ("offered", "said"),
    [
        ("no_such_module:Toy", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
        ("toy_plugin:Robot", "cannot be loaded: AttributeError"),
        ("toy_broken:Toy", "cannot be loaded: RuntimeError: no licence found"),
        ("toy_plugin:Halved", "it lacks default_topic, default_model, load_model"),
        ("toy_plugin:Failing", "cannot be set up: OSError: the calibration file is away"),
        ("toy_plugin:Nameless", "calls itself 'nameless'"),
        ("json:loads", "cannot be set up: TypeError"),
    ],
)
def test_a_broken_package_is_named(site: Path, monkeypatch: pytest.MonkeyPatch, offered: str, said: str):
    toy_plugin.offer(site, "second-shop", puppet=offered)
    (site / "toy_broken.py").write_text("raise RuntimeError('no licence found')")
    monkeypatch.setenv("TOY_MODEL", str(site))
    monkeypatch.syspath_prepend(site)
    with pytest.raises(SettingsError) as caught:
        instrument("puppet", Settings())
    assert f"stream 'puppet' ({offered}, of package second-shop)" in str(caught.value)
    assert said in str(caught.value)


def test_a_stream_without_a_table_stops_a_migration(site: Path, monkeypatch: pytest.MonkeyPatch):
    toy_plugin.offer(site, "second-shop", puppet="toy_plugin:Tableless")
    monkeypatch.syspath_prepend(site)
    with pytest.raises(SettingsError, match=r"of package second-shop\): it has no attribute 'table'"):
        stream_table("puppet")


def test_a_stream_that_two_packages_offer_is_neither(site: Path):
    toy_plugin.offer(site, "second-shop", ztf="toy_plugin:Toy")
    done = fulgor(site, "consume", "ztf", database="postgresql://127.0.0.1:1/x")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "the packages fulgor and second-shop both offer a stream 'ztf'" in line
