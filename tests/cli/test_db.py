"""``fulgor db`` as a user and as a script see it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from fulgor.embedded.postgres import EmbeddedPostgres

pytestmark = pytest.mark.services
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def fulgor(tmp_path: Path) -> Iterator[Run]:
    home = tmp_path / "home"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from fulgor.cli import main; main()", *words]
        environment = os.environ | {"FULGOR_HOME": str(home)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=170)

    yield run
    server = EmbeddedPostgres(home)
    data = server.status().data
    server.down()  # not killed: its orphans would write for a moment to what is deleted next
    if data is not None:
        shutil.rmtree(data.parent)


def test_the_life_of_a_database(fulgor: Run) -> None:
    assert fulgor("db", "status").returncode == 1
    assert fulgor("db", "up").returncode == 0
    again = json.loads(fulgor("db", "up", "--json").stdout)
    url = fulgor("db", "url")
    assert url.stdout == again["url"] + "\n"
    assert url.stdout.endswith("/fulgor?options=-csearch_path%3Dfulgor%2Cpublic\n")
    with psycopg.connect(url.stdout.strip()) as connection:
        assert connection.execute("SELECT extname FROM pg_extension WHERE extname = 'vector'").fetchone()
    status = fulgor("db", "status", "--json")
    assert status.returncode == 0
    assert json.loads(status.stdout) == {name: value for name, value in again.items() if name != "url"}
    assert json.loads(fulgor("db", "down", "--json").stdout) == {"stopped": True}
    assert json.loads(fulgor("db", "down", "--json").stdout) == {"stopped": False}


def test_a_url_without_a_server(fulgor: Run) -> None:
    asked = fulgor("db", "url")
    assert asked.returncode == 12
    assert asked.stdout == ""
    assert "'fulgor db up' starts it" in asked.stderr
    assert "Traceback" not in asked.stderr


def test_the_password_is_shown_only_where_it_is_asked_for(fulgor: Run) -> None:
    said = fulgor("db", "up").stdout + fulgor("db", "status", "--json").stdout
    password = fulgor("db", "url").stdout.split(":")[2].split("@")[0]
    assert len(password) >= 24
    assert password not in said


def test_starting_up_loads_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "astropy", "matplotlib", "pandas", "psycopg", "confluent_kafka", "onnxruntime"}
    program = "import sys, fulgor.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert heavy.isdisjoint(loaded.split())
