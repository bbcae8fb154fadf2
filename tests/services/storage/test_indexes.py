from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from fulgor import jobs
from fulgor.consumer.settings import Settings
from fulgor.errors import SettingsError
from fulgor.jobs import run_jobs
from fulgor.storage import indexes
from fulgor.storage.database import connect
from fulgor.storage.indexes import build, wanted
from fulgor.storage.prune import find_nights, prune
from fulgor.storage.queries import nearest

pytestmark = pytest.mark.services

ROWS = 3000
RNG = np.random.default_rng(11)
# Clustered, as latents are: isotropic noise has no nearest neighbours worth the name.
LATENTS = (RNG.normal(size=(20, 64))[RNG.integers(0, 20, ROWS)] + 0.3 * RNG.normal(size=(ROWS, 64))).astype(np.float32)


@pytest.fixture
def two_nights(toy):
    """A large night and a small one."""
    rows = [
        toy.result(
            i, alert=f"a{i}", latent=LATENTS[i], time=toy.night + timedelta(days=int(i >= ROWS - 100), milliseconds=i)
        )
        for i in range(ROWS)
    ]
    toy.write(rows, next_offset=ROWS)
    toy.connection.execute("ANALYZE fulgor.latent")
    return toy


def test_only_large_and_quiet_partitions_want_an_index(two_nights):
    connection = two_nights.connection
    [found] = wanted(connection, large=1000, quiet_s=0)
    assert (found.partition, found.rows) == ("latent_toy_20260301", ROWS - 100)
    assert list(wanted(connection, large=1000, quiet_s=3600)) == []
    assert list(wanted(connection, large=ROWS, quiet_s=0)) == []


def test_an_index_is_built_once_used_and_finds_the_neighbours(two_nights):
    connection = two_nights.connection
    exact = [{row.alert for row in nearest(connection, "toy", f"a{i}", 10)} for i in range(0, 400, 20)]
    for what in wanted(connection, large=1000, quiet_s=0):
        build(connection, what)
    assert list(wanted(connection, large=1000, quiet_s=0)) == []
    connection.execute("SET enable_seqscan = off")
    found = [{row.alert for row in nearest(connection, "toy", f"a{i}", 10)} for i in range(0, 400, 20)]
    plan = "\n".join(
        str(line) for (line,) in connection.execute(
            "EXPLAIN SELECT alert FROM fulgor.latent WHERE stream = 'toy' AND model_id = 1 AND latent IS NOT NULL"
            " ORDER BY latent::halfvec(64) <=> %s::vector::halfvec(64) LIMIT 10", [str(LATENTS[0].tolist())]
        )
    )  # fmt: skip
    assert "hnsw" in plan
    recall = np.mean([len(a & b) / 10 for a, b in zip(exact, found, strict=True)])
    # Each build draws its own layers: in one of some eighty a query has lost its whole cluster (a recall of 0.95).
    assert recall >= 0.8


def test_a_night_that_is_dropped_meanwhile_wants_no_index(two_nights):
    connection = two_nights.connection
    found = wanted(connection, large=1, quiet_s=0)
    first = next(found)
    for night in find_nights(connection, date(2026, 3, 3)):
        prune(connection, night, idle=timedelta(0))
    assert list(found) == []
    assert not build(connection, first)


def test_jobs_run_and_say_what_they_did(two_nights, monkeypatch):
    monkeypatch.setattr(indexes.wanted, "__kwdefaults__", {"large": 1000, "quiet_s": 0})
    run_jobs(two_nights.url, Settings(), every_s=None, stopping=Event())
    run_jobs(two_nights.url, Settings(), every_s=None, stopping=Event())
    rows = two_nights.connection.execute("SELECT name, outcome, finished_at IS NOT NULL FROM fulgor.job").fetchall()
    assert ("latent-index", "0 indexes built", True) in rows
    assert all(finished for *_, finished in rows)
    assert list(wanted(two_nights.connection)) == []


def test_a_round_that_is_over_is_in_nobodys_way_even_while_its_session_lasts(toy):
    with connect(toy.url) as ending:  # the server ends a session some time after its client
        jobs._round(ending, Settings(), Event())
        before = toy.value("SELECT clock_timestamp()")
        run_jobs(toy.url, Settings(), every_s=None, stopping=Event())
    ran = "SELECT name FROM fulgor.job WHERE started_at > %s AND finished_at >= started_at"
    assert {name for (name,) in toy.connection.execute(ran, [before])} == {job.name for job in jobs.JOBS}


def test_a_job_that_runs_elsewhere_is_left_alone(toy, monkeypatch):
    monkeypatch.setattr(jobs, "JOBS", (replace(jobs.JOBS[0], run=lambda *_: "done"),))
    with connect(toy.url) as other:
        assert jobs._begin(other, jobs.JOBS[0])
        run_jobs(toy.url, Settings(), every_s=None, stopping=Event())
        assert toy.value("SELECT outcome FROM fulgor.job WHERE name = %s", jobs.JOBS[0].name) is None
        jobs._finish(other, jobs.JOBS[0], "done elsewhere")
        run_jobs(toy.url, Settings(), every_s=None, stopping=Event())
    assert toy.value("SELECT outcome FROM fulgor.job WHERE name = %s", jobs.JOBS[0].name) == "done"


def test_told_to_stop_no_further_job_begins(toy):
    stopping = Event()
    stopping.set()
    before = toy.connection.execute("SELECT max(started_at) FROM fulgor.job").fetchone()
    run_jobs(toy.url, Settings(), every_s=None, stopping=stopping)
    assert toy.connection.execute("SELECT max(started_at) FROM fulgor.job").fetchone() == before


def test_a_job_that_fails_costs_no_other_its_turn(toy, tmp_path: Path):
    nodes = tmp_path / "nodes.json"
    nodes.write_text("[")
    before = toy.connection.execute("SELECT clock_timestamp()").fetchone()
    with pytest.raises(SettingsError, match=r"nodes\.json"):
        run_jobs(toy.url, Settings(nodes=nodes), every_s=None, stopping=Event())
    ran = "SELECT name, outcome FROM fulgor.job WHERE finished_at > %s"
    outcomes = dict(toy.connection.execute(ran, before).fetchall())
    assert outcomes["leela-strokes"].startswith("failed: ")
    assert outcomes["drift"].startswith("0 nights measured")
