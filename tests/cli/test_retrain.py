"""``fulgor retrain`` from an archive to a model's folder and a comparison."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fulgor.cli.app import app
from fulgor.errors import ModelError
from fulgor.models.card import read_card
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.serving import SHIPPED, load
from fulgor.models.training import PARTS
from fulgor.replay.labelled import labelled_alerts
from fulgor.replay.simulate.ztf import SimulatedAlert, simulate, write_archive

BASE = SHIPPED / "ztf-sim"
NIGHTS = 9


def copies(count: int, first: int) -> Iterator[SimulatedAlert]:
    """Some simulated alerts again and again, each of an object and a time of its own: simulating as many is slow."""
    drawn = list(simulate(40, 9))
    for number in range(first, first + count):
        alert = drawn[number % len(drawn)]
        record, name = copy.deepcopy(alert.record), f"ZTF26{number:07d}"
        jd = drawn[0].jd + (NIGHTS if number % 2 else number * 7 % NIGHTS)
        shift = jd - alert.jd
        record |= {"objectId": name, "candid": 10**15 + number}
        record["candidate"] |= {"candid": record["candid"], "jd": jd}
        for earlier in record["prv_candidates"] or ():
            earlier["jd"] += shift
        yield SimulatedAlert(record, alert.label, name, jd)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("second")
    write_archive(copies(320, 100), folder)
    return folder


def retrain(*words: str | Path) -> str:
    result = CliRunner().invoke(app, ["retrain", "ztf", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_a_model_and_a_comparison_on_later_nights_of_objects_in_neither_card(archive: Path, tmp_path: Path):
    out = tmp_path / "second"
    words = ("--archive", archive, "--from-model", BASE, "--out", out, "--simulated", "--epochs", "1", "--name", "next")
    told = retrain(*words)
    card, first = read_card(out), read_card(BASE)
    split = card["split"]
    assert (split["by"], split["seed"], card["data"]["base"]["model_hash"]) == (
        "object and time", first["split"]["seed"], first["model_hash"]
    )  # fmt: skip
    assert f"model {card['model_hash']} in {out}" in told
    assert f"trained before {split['tested_from']}, compared on the nights from then on" in told
    compared = card["metrics"]["against_live"]
    assert f"on {compared['alerts']} simulated alerts of {compared['objects']} objects that neither model saw" in told
    assert card["model_hash"] != first["model_hash"]
    assert load(out, "cpu").model_hash == card["model_hash"]
    # The same objects, by the code that trained the first model, and the nights from the card's day on.
    alerts = AlertSet.gather(labelled_alerts(archive))
    later = alerts.days >= int(np.datetime64(split["tested_from"], "D").astype(int))
    held = np.isin(np.arange(len(alerts)), alerts.dataset.split(PARTS, first["split"]["seed"])["test"])
    assert compared["objects"] == len(np.unique(alerts.objects[later & held]))


def test_an_archive_too_small_to_compare_on_leaves_no_model(tmp_path: Path):
    write_archive(copies(40, 700), tmp_path / "small")
    words = ("--archive", tmp_path / "small", "--from-model", BASE, "--out", tmp_path / "out")
    with pytest.raises(ModelError, match="take more or newer alerts, or divide by object alone"):
        retrain(*words)
    assert not (tmp_path / "out").exists()
