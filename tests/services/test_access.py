"""Brokers that want a user, or TLS, or both: what works, what a user is told, and that nobody learns the password."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from confluent_kafka import Producer
from live import consumer, get, until

from fulgor.consumer.kafkaadmin import Cluster
from fulgor.errors import BrokerError, SettingsError
from fulgor.replay.simulate.ztf import encode, simulate
from fulgor.storage.database import connect
from fulgor.storage.migrate import migrate
from fulgor.streams.registry import stream_table

from .conftest import Broker

pytestmark = pytest.mark.services

ALERTS = 5
SECRET = "secret"
USER = {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "fulgor"}
MECHANISM = USER | {"sasl.password": SECRET}


@pytest.fixture(scope="module")
def secured(kafka_broker: Broker) -> Broker:
    if not kafka_broker.sasl:
        pytest.skip("the given broker has no SASL listeners that we know of")
    return kafka_broker


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [stream_table("ztf")])
    return database


@pytest.fixture
def alerts(secured: Broker, make_topic: Callable) -> str:
    name = make_topic(secured)
    producer = Producer({"bootstrap.servers": secured.bootstrap})
    for alert in simulate(ALERTS, 1):
        producer.produce(name, encode([alert.record]))
    assert producer.flush(60) == 0
    return name


def access(broker: Broker, protocol: str) -> tuple[str, dict[str, str]]:
    """Return where to connect and the settings, less the password."""
    settings = USER | {"security.protocol": protocol}
    if protocol == "SASL_SSL":
        return broker.sasl_ssl, settings | {"ssl.ca.location": broker.ca}
    return broker.sasl, settings


def environment(database: str, password: str = SECRET) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FULGOR_")}
    return kept | {"FULGOR_DATABASE": database, "FULGOR_KAFKA_SASL_PASSWORD": password}


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_consuming_and_telling_nobody(
    secured: Broker, make_topic: Callable, alerts: str, tables: str, tmp_path: Path, protocol: str
):
    bootstrap, settings = access(secured, protocol)
    password, log, target = urlsplit(tables).password, tmp_path / "log", make_topic(secured)
    words = ["--bootstrap", bootstrap, "--topic", alerts, "--alerts-to", target, "--alerts-above", "0"]
    words += [word for name, value in settings.items() for word in ("--kafka", f"{name}={value}")]
    with consumer(words, environment(tables), log) as (process, port):
        page = str(
            until(lambda: 'outcome="stored"} 5.0' in get(port, "/metrics")[1] and get(port, "/metrics")[1], "rows")
        )
        until(lambda: "fulgor_alerts_published_total 5.0" in get(port, "/metrics")[1], "no anomalies were published")
        until(lambda: get(port, "/readyz") == (200, '{"ok": true}\n'), "it was never ready")
        assert get(port, "/healthz")[0] == 200
        cmdline = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
    with psycopg.connect(tables) as connection:
        assert connection.execute("SELECT count(*) FROM fulgor.latent").fetchone() == (ALERTS,)
    said = log.read_text()
    assert "finished" in said
    for text in (cmdline, page, said):
        assert SECRET not in text
        assert password is None or password not in text
    assert 'fulgor_process_info{device="cpu"' in page


@pytest.mark.parametrize("password", [SECRET, "nonsense-4711"], ids=["right", "wrong"])
def test_the_doctor_tells_nobody(secured: Broker, alerts: str, tables: str, tmp_path: Path, password: str):
    bootstrap, settings = access(secured, "SASL_SSL")
    lines = [f'bootstrap = "{bootstrap}"', f'topic = "{alerts}"', "[kafka]"]
    lines += [f'"{name}" = "{value}"' for name, value in settings.items()]
    config = tmp_path / "fulgor.toml"
    config.write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-m", "fulgor", "doctor", "--json", "--config", str(config)],
        env=environment(tables, password), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == (0 if password == SECRET else 3)
    assert f"sasl.username={USER['sasl.username']}" in checks["settings"]["message"]
    assert "sasl.password=***" in checks["settings"]["message"]
    assert f"config file {config} and environment variables FULGOR_KAFKA_..." in checks["settings"]["message"]
    database = urlsplit(tables).password
    for text in (done.stdout, done.stderr):
        assert password not in text
        assert database is None or database not in text


REFUSALS = {
    "wrong password": ("sasl", {"security.protocol": "SASL_PLAINTEXT", "sasl.password": "nonsense-4711"},
                       r"uthentication.*check the user and FULGOR_KAFKA_SASL_PASSWORD"),
    "wrong password over TLS": ("sasl_ssl", {"security.protocol": "SASL_SSL", "ssl.ca.location": "CA",
                                             "sasl.password": "nonsense-4711"},
                                r"uthentication.*check the user and FULGOR_KAFKA_SASL_PASSWORD"),
    "wrong user": ("sasl", {"security.protocol": "SASL_PLAINTEXT", "sasl.username": "nobody"},
                   r"uthentication.*check the user and FULGOR_KAFKA_SASL_PASSWORD"),
    "wrong mechanism": ("sasl", {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"},
                        r"SCRAM-SHA-512.*check sasl\.mechanism"),
    "no certificate authority": ("sasl_ssl", {"security.protocol": "SASL_SSL"},
                                 r"certificate.*check ssl\.ca\.location"),
    "TLS to a plain port": ("sasl", {"security.protocol": "SASL_SSL", "ssl.ca.location": "CA"},
                            r"does not speak TLS.*set it to SASL_PLAINTEXT"),
    "a plain user to a TLS port": ("sasl_ssl", {"security.protocol": "SASL_PLAINTEXT"},
                                   r"the port speaks TLS.*set it to SASL_SSL"),
    "a user where there are none": ("bootstrap", {"security.protocol": "SASL_PLAINTEXT"},
                                    r"check sasl\.mechanism, and security\.protocol"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_names_its_cause(secured: Broker, case: str):
    listener, settings, expected = REFUSALS[case]
    config = MECHANISM | settings | ({"ssl.ca.location": secured.ca} if "ssl.ca.location" in settings else {})
    with pytest.raises(BrokerError, match=expected) as caught:
        Cluster(getattr(secured, listener), config)
    assert config["sasl.password"] not in str(caught.value)


@pytest.mark.parametrize(
    ("listener", "expected"),
    [("sasl", "wants a user.*SASL_PLAINTEXT"), ("sasl_ssl", "the port speaks TLS.*set it to SSL, or SASL_SSL")],
)
def test_no_settings_at_all(secured: Broker, listener: str, expected: str):
    with pytest.raises(BrokerError, match=expected):
        Cluster(getattr(secured, listener), {})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"ssl.ca.location": "/no/such/ca.pem"}, r"ssl\.ca\.location: /no/such/ca\.pem does not exist"),
        ({"sasl.mechanism": "GSSAPI"}, "set sasl.mechanism"),
        ({"sasl.password": ""}, "FULGOR_KAFKA_SASL_PASSWORD"),
        ({"sasl.pasword": SECRET}, "sasl.pasword"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, str], expected: str):
    with pytest.raises(SettingsError, match=expected) as caught:
        Cluster("127.0.0.1:1", MECHANISM | {"security.protocol": "SASL_SSL"} | settings)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("case", ["wrong password", "no certificate authority"])
def test_a_failed_start_tells_nobody(secured: Broker, tables: str, case: str):
    password = "nonsense-4711" if case == "wrong password" else SECRET
    bootstrap, settings = access(secured, "SASL_SSL")
    if case != "wrong password":
        del settings["ssl.ca.location"]
    words = [word for name, value in settings.items() for word in ("--kafka", f"{name}={value}")]
    done = subprocess.run(
        [sys.executable, "-m", "fulgor", "consume", "ztf", "-v", "--bootstrap", bootstrap, "--topic", "t", *words],
        env=environment(tables, password), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert password not in done.stdout + done.stderr
