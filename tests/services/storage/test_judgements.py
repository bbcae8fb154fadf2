"""Judgements as a user gives them, and the night that they re-rank."""

import json

import numpy as np
import psycopg
import pytest
from typer.testing import CliRunner

from fulgor.cli import app
from fulgor.errors import FulgorError, SettingsError
from fulgor.storage.judgements import add_judgement, candidates, judged_latents, judgements
from fulgor.storage.registry import live_model

pytestmark = pytest.mark.services

LATENTS = np.random.default_rng(0).normal(0, 1, (60, 64)).astype(np.float32)
LATENTS[:6, :8] += 3
LATENTS[6:20, 8:16] += 3
ANOMALY = np.linalg.norm(LATENTS, axis=1) / 20


@pytest.fixture
def night(toy, monkeypatch):
    """Sixty alerts: six of the kind that is looked for, fourteen strange in another way, a crowd."""
    monkeypatch.setenv("FULGOR_DATABASE", toy.url)
    rows = [
        toy.result(i, alert=f"a{i}", latent=LATENTS[i], anomaly=float(ANOMALY[i]), scores=[float(i), None])
        for i in range(60)
    ]
    toy.write(rows, next_offset=60)
    return toy


def run(*arguments):
    result = CliRunner().invoke(app, [*arguments, "--stream", "toy"])
    assert result.exit_code == 0, result.exception
    return result.stdout


def test_the_latest_judgement_counts_and_all_are_kept(night):
    first = json.loads(run("latents", "label", "a3", "yes", "--by", "vera", "--note", "odd colours", "--json"))
    assert (first["alert"], first["object"], first["interesting"]) == ("a3", "o3", True)
    run("latents", "label", "a3", "no", "--by", "annie")
    run("latents", "label", "a4", "yes")
    found = json.loads(run("latents", "judgements", "--json"))
    assert [(row["alert"], row["interesting"]) for row in found] == [("a4", True), ("a3", False)]
    assert found[1]["judged_by"] == "annie"
    assert found[0]["judged_by"]
    assert night.connection.execute("SELECT count(*) FROM fulgor.judgement").fetchone() == (3,)


def test_an_alert_that_is_none_cannot_be_judged(night):
    with pytest.raises(FulgorError, match="has no alert 'zz'"):
        add_judgement(night.connection, "toy", "zz", interesting=True, by="vera")
    with pytest.raises(SettingsError, match="name of who judges"):
        add_judgement(night.connection, "toy", "a1", interesting=True, by=" ")
    assert judgements(night.connection, "toy") == []


def test_a_name_is_text_whatever_it_holds(night):
    name = "x'); DROP TABLE fulgor.judgement; --"
    add_judgement(night.connection, "toy", "a1", interesting=True, by=name)
    assert judgements(night.connection, "toy")[0].judged_by == name
    with pytest.raises(psycopg.DataError):
        add_judgement(night.connection, "toy", "a1", interesting=True, by="nul\x00")


def test_judged_alerts_are_learned_from_and_not_shown_again(night):
    model = live_model(night.connection, "toy")
    for number in (0, 1, 7):
        add_judgement(night.connection, "toy", f"a{number}", interesting=number < 6, by="vera")
    judged = judged_latents(night.connection, model)
    assert judged.latents.shape == (3, 64)
    assert sorted(judged.interesting.tolist()) == [False, True, True]
    alerts, latents = candidates(night.connection, model, since=None, until=None)
    assert len(alerts) == 57
    assert not {"a0", "a1", "a7"} & {row.alert for row in alerts}
    assert [row.anomaly for row in alerts] == sorted((row.anomaly for row in alerts), reverse=True)
    assert np.array_equal(latents[0], LATENTS[int(alerts[0].alert[1:])])


def test_judgements_rerank_the_night(night):
    plain = [row["alert"] for row in json.loads(run("latents", "anomalies", "--limit", "60", "--json"))]
    assert [row["alert"] for row in json.loads(run("latents", "rerank", "--limit", "60", "--json"))] == plain
    for number in (0, 1, 6, 7, 8, 9, 10):
        run("latents", "label", f"a{number}", "yes" if number < 6 else "no", "--by", "vera")
    shown = [row["alert"] for row in json.loads(run("latents", "rerank", "--night", "2026-03-01", "--json"))]
    assert len(shown) == 20
    wanted = {"a2", "a3", "a4", "a5"}
    rest = [name for name in plain if name not in {"a0", "a1", "a6", "a7", "a8", "a9", "a10"}]
    assert len(wanted & set(shown[:6])) >= 3
    assert len(wanted & set(shown[:6])) >= len(wanted & set(rest[:6]))
    assert run("latents", "rerank", "--night", "2020-01-01", "--json") == "[]\n"


def test_every_null_score_has_its_reason(night):
    rows = night.connection.execute(
        "SELECT score, value, reason FROM fulgor.scores WHERE alert = 'a5' ORDER BY score"
    ).fetchall()
    assert rows == [("distance", None, "it could not be computed for this input"), ("reconstruction", 5.0, None)]
    lost = night.result(
        60, alert="lost", scores=None, anomaly=None, latent=None, reference=None, unscorable="no stamps"
    )
    night.write([lost], next_offset=61)
    rows = night.connection.execute("SELECT score, reason FROM fulgor.scores WHERE alert = 'lost'").fetchall()
    assert rows == [("reconstruction", "no stamps"), ("distance", "no stamps")]
    night.connection.execute(
        """UPDATE fulgor.model SET card = card || '{"score_needs": {"distance": "a finite latent"}}'"""
    )
    reason = night.connection.execute(
        "SELECT reason FROM fulgor.scores WHERE alert = 'a5' AND score = 'distance'"
    ).fetchone()
    assert reason == ("it needs a finite latent",)


def test_a_row_keeps_the_reference_that_it_was_ranked_in(night):
    night.connection.execute("UPDATE fulgor.model SET reference = 'another'")
    assert night.connection.execute("SELECT DISTINCT reference FROM fulgor.anomalies").fetchall() == [
        ("toy-reference",)
    ]
    found = json.loads(run("latents", "anomalies", "--limit", "1", "--json"))
    assert found[0]["reference"] == "toy-reference"
