"""What a user sees who starts a consumer wrongly: one line that says what to do, and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from fulgor.errors import SchemaVersionError
from fulgor.models.serving import SHIPPED
from fulgor.storage.database import connect
from fulgor.storage.migrate import check_schema, migrate
from fulgor.streams.registry import stream_table

pytestmark = pytest.mark.services

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [stream_table("ztf")])
    return database


def consume(database: str, *flags: str, **environment: str) -> tuple[int, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FULGOR_")}
    done = subprocess.run(
        [sys.executable, "-m", "fulgor", "consume", "ztf", "--until-end", *flags],
        env=kept | {"FULGOR_DATABASE": database, "FULGOR_DATABASE_PATIENCE_S": "1", **environment},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("fulgor: ")]
    assert len(errors) == 1, done.stderr
    return done.returncode, errors[0]


def test_nothing_answers_at_the_broker(tables: str):
    code, said = consume(tables, "--bootstrap", NOWHERE)
    assert code == 3
    assert NOWHERE in said
    assert "check --bootstrap" in said


def test_unknown_broker_host(tables: str):
    code, said = consume(tables, "--bootstrap", "no.such.host.invalid:9092")
    assert code == 3
    assert "unknown host" in said


def test_unknown_topic_names_those_there_are(tables: str, broker, topic: Callable):
    name = topic()
    code, said = consume(tables, "--bootstrap", broker.bootstrap, "--topic", "no_such_topic")
    assert code == 4
    assert "'no_such_topic' does not exist" in said
    assert name in said or "..." in said


def test_perl_digits_in_a_pattern(tables: str, embedded_broker):
    code, said = consume(tables, "--bootstrap", embedded_broker.bootstrap, "--topic", r"^ztf_\d{8}_programid1$")
    assert code == 4
    assert "[0-9]" in said


def test_wrong_kafka_password(tables: str, kafka_broker):
    if not kafka_broker.sasl:
        pytest.skip("the given broker has no SASL listener that we know of")
    code, said = consume(
        tables, "--bootstrap", kafka_broker.sasl, "--topic", "t", "--kafka", "security.protocol=SASL_PLAINTEXT",
        "--kafka", "sasl.mechanism=SCRAM-SHA-512", "--kafka", "sasl.username=fulgor",
        FULGOR_KAFKA_SASL_PASSWORD="nonsense-4711",
    )  # fmt: skip
    assert code == 3
    assert "uthentication" in said
    assert "FULGOR_KAFKA_SASL_PASSWORD" in said
    assert "nonsense-4711" not in said


def test_missing_certificate_authority(tables: str, kafka_broker):
    if not kafka_broker.sasl_ssl:
        pytest.skip("the given broker has no TLS listener that we know of")
    code, said = consume(
        tables, "--bootstrap", kafka_broker.sasl_ssl, "--topic", "t", "--kafka", "security.protocol=SASL_SSL",
        "--kafka", "sasl.mechanism=SCRAM-SHA-512", "--kafka", "sasl.username=fulgor",
        FULGOR_KAFKA_SASL_PASSWORD="secret",
    )  # fmt: skip
    assert code == 3
    assert "certificate" in said


def test_secret_in_an_argument(tables: str):
    code, said = consume(tables, "--kafka", "sasl.password=hunter2")
    assert code == 2
    assert "FULGOR_KAFKA_SASL_PASSWORD" in said
    assert "hunter2" not in said


def test_password_in_the_database_url(tables: str):
    code, said = consume(tables, "--database", "postgresql://me:hunter2@127.0.0.1/x")
    assert code == 2
    assert "pgpass" in said
    assert "hunter2" not in said


def test_database_away():
    code, said = consume("postgresql://me:hunter2@127.0.0.1:1/x", "--bootstrap", NOWHERE)
    assert code == 5
    assert "127.0.0.1:1/x" in said
    assert "hunter2" not in said


def test_wrong_database_password(tables: str):
    parts = urlsplit(tables)
    if parts.password is None:
        pytest.skip("the given database wants no password")
    wrong = urlunsplit(parts._replace(netloc=parts.netloc.replace(parts.password, "wrong")))
    code, said = consume(wrong, "--bootstrap", NOWHERE)
    assert code == 5
    assert "password" in said


def test_no_tables(database: str):
    with connect(database, vectors=False) as connection:
        connection.execute("CREATE EXTENSION vector")
    code, said = consume(database, "--bootstrap", NOWHERE)
    assert code == 6
    assert "fulgor db migrate" in said


def test_old_and_new_tables(tables: str):
    with connect(tables, vectors=False) as connection:
        connection.execute("UPDATE fulgor.migration SET version = 99 WHERE component = 'ztf'")
    code, said = consume(tables, "--bootstrap", NOWHERE)
    assert code == 6
    assert "upgrade fulgor" in said
    newer = replace(stream_table("ztf"), version=2)
    with connect(tables, vectors=False) as connection:
        connection.execute("UPDATE fulgor.migration SET version = 1 WHERE component = 'ztf'")
        with pytest.raises(SchemaVersionError, match="at version 1, this program needs 2"):
            check_schema(connection, newer)


def test_absent_gpu(tables: str):
    code, said = consume(tables, "--device", "cuda", CUDA_VISIBLE_DEVICES="")
    assert code == 8
    assert "no CUDA device" in said


def test_no_model_there(tables: str, tmp_path: Path):
    code, said = consume(tables, "--model", str(tmp_path))
    assert code == 7
    assert str(tmp_path) in said


def test_damaged_model(tables: str, tmp_path: Path):
    for file in (SHIPPED / "ztf").iterdir():
        data = bytearray(file.read_bytes())
        if file.suffix == ".onnx":
            data[len(data) // 2] ^= 1
        (tmp_path / file.name).write_bytes(data)
    code, said = consume(tables, "--model", str(tmp_path))
    assert code == 7
    assert "model.onnx" in said


def test_wrong_setting_names_its_origin(tables: str):
    code, said = consume(tables, FULGOR_BATCH_SIZE="many")
    assert code == 2
    assert "environment variable FULGOR_BATCH_SIZE" in said


def test_no_such_archive(tables: str, tmp_path: Path):
    code, said = consume(tables, "--archive", str(tmp_path / "nothing"))
    assert code == 9
    assert "nothing" in said
