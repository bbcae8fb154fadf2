"""The commands that read the database, as a user types them."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from fulgor.cli import app
from fulgor.errors import FulgorError, LedgerError, ModelError, SettingsError
from fulgor.preprocessing.sky import healpix_index

pytestmark = pytest.mark.services


@pytest.fixture
def filled(toy, monkeypatch):
    """Three rows, a dead letter and a duplicate; the database is named by the environment."""
    monkeypatch.setenv("FULGOR_DATABASE", toy.url)
    place = (10.0, -20.0, healpix_index(10.0, -20.0), 1, 18.5)
    rows = [toy.result(i, alert=f"a{i}", object="o", anomaly=i / 10, columns=place) for i in range(3)]
    letter = replace(toy.dead(3), reason="cut\tshort\x1b[31m")
    toy.write([*rows, replace(toy.result(4, alert="a0", object="o"), time=rows[0].time)], [letter], next_offset=5)
    return toy


def run(*arguments, fails=None):
    result = CliRunner().invoke(app, list(arguments))
    if fails is not None:
        assert isinstance(result.exception, fails), result.output
        return str(result.exception)
    assert result.exit_code == 0, result.exception
    return result.stdout


def lines(text):
    return [line.split("\t") for line in text.splitlines()]


def test_nearest(filled):
    found = json.loads(run("latents", "nearest", "a0", "--stream", "toy", "--json"))
    assert {row["alert"] for row in found} == {"a1", "a2"}
    assert found[0]["distance"] <= found[1]["distance"]
    table = lines(run("latents", "nearest", "a0", "--stream", "toy", "--limit", "1", "--metric", "l2"))
    assert (table[0][:3], len(table)) == (["distance", "alert", "object"], 2)
    assert run("latents", "nearest", "a0", "--stream", "toy", "--other-objects", "--json") == "[]\n"


def test_anomalies(filled):
    found = json.loads(run("latents", "anomalies", "--stream", "toy", "--night", "2026-03-01", "--json"))
    assert [row["alert"] for row in found] == ["a2", "a1", "a0"]
    assert found[0]["time"] == "2026-03-01T03:00:02Z"
    assert found[0]["class"] == "SN"
    since = ("--since", "2026-03-01T03:00:01", "--until", "2026-03-01T05:00:02+02:00")
    found = json.loads(run("latents", "anomalies", "--stream", "toy", *since, "--json"))
    assert [row["alert"] for row in found] == ["a1"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--night", "yesterday"), "--night 'yesterday': write a UTC day"),
        (("--since", "soon"), "--since 'soon': write an ISO time"),
        (("--night", "2026-03-01", "--since", "2026-03-01"), "exclude each other"),
    ],
)
def test_anomalies_of_no_time(filled, arguments, words):
    assert words in run("latents", "anomalies", *arguments, fails=SettingsError)


def test_object(filled):
    found = json.loads(run("latents", "object", "o", "--stream", "toy", "--json"))
    assert [row["alert"] for row in found] == ["a0", "a1", "a2"]
    assert len(found[0]["latent"]) == 64
    assert len(lines(run("latents", "object", "o", "--stream", "toy"))) == 4


def test_cone_takes_a_negative_declination(filled):
    found = json.loads(run("latents", "cone", "10", "-20.0001", "1", "--stream", "toy", "--json"))
    assert [row["alert"] for row in found] == ["a0", "a1", "a2"]
    assert found[0]["separation"] == pytest.approx(0.36, abs=0.001)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("latents", "nearest", "nobody", "--stream", "toy"), FulgorError, "no alert 'nobody'"),
        (("latents", "object", "nobody", "--stream", "toy"), FulgorError, "no alert of object 'nobody'"),
        (("latents", "object", "o", "--stream", "elsewhere"), ModelError, "no live model"),
        (("latents", "cone", "10", "95", "1", "--stream", "toy"), SettingsError, "declination 95"),
        (("dead", "show", "1000999"), FulgorError, "no dead letter 1000999"),
        (("models", "show", "nobody"), ModelError, "no model 'nobody'"),
    ],
)
def test_what_is_not_there(filled, arguments, error, words):
    assert words in run(*arguments, fails=error)


def test_ledger(filled):
    header, row = lines(run("ledger"))
    found = dict(zip(header, row, strict=True))
    assert (found["stored"], found["duplicates"], found["dead"], found["next_offset"]) == ("3", "1", "1", "5")
    assert run("ledger", "--check").endswith("the ledger closes\n")
    report = json.loads(run("ledger", "--check", "--json"))
    assert report["closed"] is True
    assert report["accounts"][0]["stored"] == 3
    assert run("ledger", "--group", "nobody", "--json") == "[]\n"


def test_a_ledger_that_does_not_close(filled):
    filled.connection.execute('DELETE FROM fulgor.latent WHERE "offset" IN (0, 2)')
    result = CliRunner().invoke(app, ["ledger", "--check", "--json"])
    assert isinstance(result.exception, LedgerError)
    assert str(result.exception) == (
        "the ledger does not close: topic topic partition 0 (group g) offset 0: missing:"
        " offset 0 neither accounted for nor skipped (and 1 other findings)"
    )
    report = json.loads(result.stdout)
    assert (report["closed"], [finding["offset"] for finding in report["findings"]]) == (False, [0, 2])


def test_dead_list(filled):
    (found,) = json.loads(run("dead", "list", "--json"))
    assert (found["offset"], found["reason"], found["stage"]) == (3, "cut\tshort\x1b[31m", "container")
    assert lines(run("dead", "list"))[1][-1] == "cut\\x09short\\x1b[31m"
    assert run("dead", "list", "--class", "OtherError", "--json") == "[]\n"
    assert run("dead", "list", "--redriven", "--stream", "toy", "--json") == "[]\n"


def test_dead_show(filled, tmp_path):
    (letter,) = json.loads(run("dead", "list", "--json"))
    out = tmp_path / "message"
    found = json.loads(run("dead", "show", str(letter["dead_id"]), "--out", str(out), "--json"))
    assert out.read_bytes() == b"bytes 3"
    assert bytes.fromhex(found["head"]) == b"bytes 3"
    assert (found["bytes"], found["headers"]) == (7, [{"name": "k", "value": "76"}])
    missing = tmp_path / "missing" / "file"
    assert "No such file" in run("dead", "show", str(letter["dead_id"]), "--out", str(missing), fails=SettingsError)


def test_models(filled):
    (found,) = json.loads(run("models", "list", "--json"))
    assert (found["name"], found["status"], found["card"]) == ("toy-1", "live", filled.card)
    shown = dict(line.split("\t", 1) for line in run("models", "show", "toy-1").splitlines())
    assert (shown["status"], shown["classes"]) == ("live", '["AGN", "SN"]')


def test_exit_codes_and_a_password_that_stays_secret(filled):
    def leave(*arguments):
        program = "from fulgor.cli import main; main()"
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    assert leave("latents", "object", "nobody", "--stream", "toy")[0] == 1
    code, message = leave("ledger", "--database", "postgresql://u:geheim@127.0.0.1:1/x")
    assert (code, "geheim" in message) == (2, False)
    code, message = leave("ledger", "--database", "postgresql://127.0.0.1:1/x")
    assert code == 5
    assert "127.0.0.1:1/x: nothing answers there" in message
    filled.connection.execute("UPDATE fulgor.feed SET next_offset = 9")
    assert leave("ledger", "--check")[0] == 10


def test_a_database_without_tables(database, monkeypatch):
    monkeypatch.setenv("FULGOR_DATABASE", database)
    message = run("ledger", fails=FulgorError)
    assert "no extension 'vector'" in message
    assert "fulgor db migrate" in message


def test_jobs_are_told_the_settings(filled, tmp_path):
    nodes = tmp_path / "nodes.json"
    nodes.write_text('{"A1": {"Site": "Here", "Position": {"lat": 1.0, "lon": 2.0}}}')
    config = tmp_path / "mine.toml"
    config.write_text(f'nodes = "{nodes}"\n')
    outcome = "SELECT outcome FROM fulgor.job WHERE name = 'leela-strokes'"
    run("jobs", "run")
    assert "set FULGOR_NODES" in filled.connection.execute(outcome).fetchone()[0]
    run("jobs", "run", "--config", str(config))
    assert filled.connection.execute(outcome).fetchone()[0] == "no LEELA tables"
