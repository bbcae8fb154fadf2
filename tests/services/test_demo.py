"""The demo as a newcomer runs it: one command, embedded servers, twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from matplotlib.image import imread

from fulgor.embedded.broker import answers
from fulgor.embedded.lifetime import alive
from fulgor.embedded.postgres import EmbeddedPostgres

pytestmark = [pytest.mark.services, pytest.mark.slow]

COMMAND = [sys.executable, "-c", "from fulgor.cli import main; main()", "demo"]
COUNT = 60


@dataclass(frozen=True)
class Demo:
    """A home folder of its own, and what two runs printed: the first as JSON, the second as text."""

    home: Path
    url: str
    first: dict
    second: str
    out: Path

    def rows(self, query: str, *parameters: object) -> list[tuple]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query, parameters).fetchall()


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "FULGOR_HOME": str(home)}


def run(home: Path, out: Path, *arguments: str) -> str:
    command = [*COMMAND, "--count", str(COUNT), "--out", str(out), *arguments]
    done = subprocess.run(command, env=environment(home), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    home, out = folder / "home", folder / "out"
    server = EmbeddedPostgres(home)
    try:
        first = json.loads(run(home, out, "--json"))
        (out / "night.png").rename(out / "first.png")
        second = run(home, out)
        yield Demo(home, server.url(), first, second, out)
    finally:
        server.down()


def test_every_message_is_accounted_for(demo: Demo):
    found = demo.first
    assert found["messages"] == COUNT + 5
    assert (found["stored"], found["duplicates"], sum(kind["count"] for kind in found["dead"])) == (COUNT, 2, 3)
    assert {kind["stage"] for kind in found["dead"]} == {"container", "record"}
    assert found["ledger_closed"] is True
    assert found["backlog"] + found["live"] == found["messages"]


def test_the_figures_are_those_of_the_rows(demo: Demo):
    found = demo.first
    query = "SELECT count(*) FROM latent JOIN feed USING (feed_id) WHERE group_name = %s AND latent IS NOT NULL"
    assert demo.rows(query, found["group"]) == [(COUNT,)]
    assert sum(simulated for simulated, _, _ in found["classes"].values()) == COUNT
    assert found["accuracy"] == pytest.approx(sum(right for *_, right in found["classes"].values()) / COUNT)
    best = demo.rows(
        "SELECT alert FROM latent JOIN feed USING (feed_id) WHERE group_name = %s ORDER BY anomaly DESC, alert LIMIT 1",
        found["group"],
    )
    assert best == [(found["strangest"][0]["alert"],)]


def test_latency_is_that_of_messages_that_found_the_consumer_waiting(demo: Demo):
    assert 0 < demo.first["latency_p50"] <= demo.first["latency_p99"] < 120
    assert demo.first["live"] == COUNT // 10
    assert demo.first["backlog_rate"] > 0.1


def test_the_pictures_are_there(demo: Demo):
    for name in ("first.png", "night.png"):
        assert imread(demo.out / name).shape[1] == 1600


def test_the_second_run_is_another_night_in_the_same_database(demo: Demo):
    assert demo.rows("SELECT DISTINCT group_name, topic FROM feed ORDER BY 1") == [
        ("fulgor-demo-0001", "ztf_20260301_programid1"),
        ("fulgor-demo-0002", "ztf_20260302_programid1"),
    ]
    assert demo.rows("SELECT count(*), count(DISTINCT alert) FROM latent") == [(2 * COUNT, 2 * COUNT)]
    assert "already ran" in demo.second


def test_the_summary_tells_what_happened_and_what_to_type_next(demo: Demo):
    for words in (
        "3 of them broken on purpose", f"{COUNT} stored, 2 duplicates, 3 dead letters", "ledger  closed",
        "alerts/s", "p99", "simulated truth", "fulgor latents nearest", "fulgor db down",
    ):  # fmt: skip
        assert words in demo.second, words
    assert "\x1b[" not in demo.second, "no colours in a pipe"


def test_the_broker_has_ended_and_postgres_goes_on(demo: Demo):
    assert not answers("127.0.0.1", port(demo.second))
    assert demo.rows("SELECT 1") == [(1,)]


def test_a_ctrl_c_ends_broker_and_simulation(demo: Demo, tmp_path: Path):
    command = [*COMMAND, "--count", "4000", "--out", str(tmp_path)]
    with subprocess.Popen(
        command, env=environment(demo.home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        printed = ""
        while "model" not in printed:
            line = running.stdout.readline()
            assert line, running.stderr.read()
            printed += line
        workers = children(running.pid)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=300)
    assert running.returncode == 130
    assert "Traceback" not in errors
    assert not answers("127.0.0.1", port(printed))
    assert workers
    deadline = time.monotonic() + 60
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))


def port(printed: str) -> int:
    (line,) = [line for line in printed.splitlines() if line.strip().startswith("broker")]
    return int(line.split("127.0.0.1:")[1].split(",")[0])


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found += map(int, (task / "children").read_text().split())
    return found
