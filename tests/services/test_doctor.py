"""``fulgor doctor`` against real servers, and against none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from fulgor.models.serving import SHIPPED
from fulgor.storage.database import connect
from fulgor.storage.migrate import migrate
from fulgor.streams.registry import stream_table

pytestmark = pytest.mark.services

NOWHERE = "127.0.0.1:1"
NAMES = [
    "settings", "packages", "device", "model", "database", "pgvector", "tables", "space", "privileges", "outbox",
    "live model", "broker", "group protocol", "topic",
]  # fmt: skip


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [stream_table("ztf")])
    return database


def doctor(*flags: str, **environment: str) -> tuple[int, dict[str, tuple[str, str]]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FULGOR_")}
    done = subprocess.run(
        [sys.executable, "-m", "fulgor", "doctor", "--json", *flags],
        env=kept | environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["exit_code"] == done.returncode
    assert found["ok"] == (done.returncode == 0)
    return done.returncode, {check["name"]: (check["level"], check["message"]) for check in found["checks"]}


def levels(checks: dict[str, tuple[str, str]], level: str) -> set[str]:
    return {name for name, (found, _) in checks.items() if found == level}


def test_all_is_well(broker, topic: Callable, tables: str):
    name = topic(partitions=3)
    code, checks = doctor("--bootstrap", broker.bootstrap, "--topic", name, FULGOR_DATABASE=tables)
    assert (code, list(checks)) == (0, NAMES)
    assert levels(checks, "error") == set()
    assert levels(checks, "warning") <= {"space"}
    assert "PostgreSQL" in checks["database"][1]
    assert f"{name}: 3 partitions" in checks["topic"][1]
    assert "cluster" in checks["broker"][1]
    assert checks["group protocol"][1] == ("consumer (auto)" if broker.new_protocol else "classic (auto)")
    assert f"topic = {name} (--topic)" in checks["settings"][1]
    assert "(environment variable FULGOR_DATABASE)" in checks["settings"][1]
    assert " is this program's" in checks["model"][1]
    assert "numpy" in checks["packages"][1]


def test_what_a_topic_keeps_and_takes(kafka_broker, make_topic: Callable, tables: str):
    settings = {"retention.ms": "3600000", "max.message.bytes": "1000", "message.timestamp.type": "LogAppendTime"}
    name = make_topic(kafka_broker, config=settings)
    code, checks = doctor("--bootstrap", kafka_broker.bootstrap, "--topic", name, FULGOR_DATABASE=tables)
    assert code == 0
    level, said = checks["topic"]
    assert level == "warning"
    for words in ("1,000 bytes", "0.0417 days", "the broker's clock", "raise its retention.ms", "max.message.bytes"):
        assert words in said


def test_nothing_answers_and_all_the_rest_is_checked(tmp_path: Path):
    code, checks = doctor("--bootstrap", NOWHERE, FULGOR_DATABASE=f"postgresql://u:hunter2@{NOWHERE}/x")
    assert code == 5
    assert list(checks) == NAMES
    assert levels(checks, "error") == {"database", "broker"}
    assert levels(checks, "ok") == {"settings", "packages", "device", "model"}
    assert checks["topic"][1] == "not checked: the broker does not answer"


def test_each_complaint_has_its_code(embedded_broker, make_topic: Callable, database: str, tmp_path: Path):
    good = ("--bootstrap", embedded_broker.bootstrap, "--topic", make_topic(embedded_broker))
    code, checks = doctor(*good, FULGOR_DATABASE=database)  # neither extension nor tables
    assert code == 5
    assert levels(checks, "error") == {"pgvector", "tables"}
    assert "fulgor db migrate" in checks["tables"][1]
    with connect(database, vectors=False) as connection:
        migrate(connection, [stream_table("ztf")])
        connection.execute("UPDATE fulgor.migration SET version = 99 WHERE component = 'ztf'")
    code, checks = doctor(*good, FULGOR_DATABASE=database)
    assert (code, levels(checks, "error")) == (6, {"tables"})
    assert "upgrade fulgor" in checks["tables"][1]
    code, checks = doctor(*good, "--device", "cuda", FULGOR_DATABASE=database, CUDA_VISIBLE_DEVICES="")
    assert (code, levels(checks, "error")) == (8, {"device", "tables"})
    code, checks = doctor(*good, "--model", str(tmp_path), FULGOR_DATABASE=database)
    assert (code, levels(checks, "error")) == (7, {"model", "tables"})
    code, checks = doctor("--bootstrap", embedded_broker.bootstrap, "--topic", "gone", FULGOR_DATABASE=database)
    assert levels(checks, "error") == {"tables", "topic"}
    code, checks = doctor(*good, "--alerts-to", "gone", FULGOR_DATABASE=database)
    assert checks["alerts topic"][0] == "error"
    assert "--alerts-to" in checks["alerts topic"][1]
    code, checks = doctor(*good, FULGOR_DATABASE=database, FULGOR_BATCH_SIZE="many")
    assert (code, levels(checks, "error")) == (2, {"settings"})
    assert "FULGOR_BATCH_SIZE" in checks["settings"][1]
    code, checks = doctor("lsst", *good, FULGOR_DATABASE=database)
    assert (code, levels(checks, "error")) == (2, {"stream"})


def test_a_model_of_another_preparation(tmp_path: Path):
    for file in (SHIPPED / "ztf").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    data = bytearray((tmp_path / "model.onnx").read_bytes())
    data[1000] ^= 1
    (tmp_path / "model.onnx").write_bytes(data)
    code, checks = doctor("--bootstrap", NOWHERE, "--model", str(tmp_path), FULGOR_DATABASE=f"host={NOWHERE}")
    assert code == 7
    assert "damaged" in checks["model"][1]


def test_a_role_that_may_only_read(embedded_broker, make_topic: Callable, tables: str):
    role = f"reader_{os.getpid()}"
    with psycopg.connect(tables, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'hunter2'").format(sql.Identifier(role)))
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA fulgor TO {}").format(sql.Identifier(role)))
        connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA fulgor TO {}").format(sql.Identifier(role)))
    parts = urlsplit(tables)
    url = urlunsplit(parts._replace(netloc=f"{role}:hunter2@{parts.hostname}:{parts.port}"))
    try:
        code, checks = doctor(
            "--bootstrap", embedded_broker.bootstrap, "--topic", make_topic(embedded_broker), FULGOR_DATABASE=url
        )
    finally:
        with psycopg.connect(tables, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    assert (code, levels(checks, "error")) == (5, {"privileges"})
    assert "INSERT on" in checks["privileges"][1]
    assert "hunter2" not in str(checks)


def test_a_database_that_is_read_only(embedded_broker, make_topic: Callable, tables: str):
    name = urlsplit(tables).path[1:]
    with psycopg.connect(tables, autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(sql.Identifier(name))
        )
    topic = make_topic(embedded_broker)
    code, checks = doctor("--bootstrap", embedded_broker.bootstrap, "--topic", topic, FULGOR_DATABASE=tables)
    assert (code, levels(checks, "error")) == (5, {"database"})
    assert "read-only" in checks["database"][1]


def test_anomalies_that_nobody_sends(embedded_broker, make_topic: Callable, tables: str):
    with psycopg.connect(tables) as connection:
        connection.execute(
            "INSERT INTO fulgor.alert_outbox (topic, alert, value, stored_at)"
            " VALUES ('left-behind', '1', '{}', now() - interval '1 hour')"
        )
    topic = make_topic(embedded_broker)
    code, checks = doctor("--bootstrap", embedded_broker.bootstrap, "--topic", topic, FULGOR_DATABASE=tables)
    assert code == 0
    assert checks["outbox"][0] == "warning"
    assert "1 for topic left-behind" in checks["outbox"][1]


def test_text_says_the_same_in_a_line_each():
    done = subprocess.run(
        [sys.executable, "-m", "fulgor", "doctor", "--bootstrap", NOWHERE], capture_output=True, text=True,
        timeout=300, check=False, env={**os.environ, "FULGOR_DATABASE": f"postgresql://u@{NOWHERE}/x"},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert done.returncode == 5
    assert len(lines) == len(NAMES)
    assert [line.split()[0] for line in lines if "not checked" not in line].count("error") == 2
