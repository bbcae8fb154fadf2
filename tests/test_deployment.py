"""What docker-compose.yml, Prometheus and Grafana say agrees with what the program does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from fulgor.cli import app
from fulgor.consumer.endpoint import serving
from fulgor.consumer.health import Health
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.settings import Settings, load_settings
from fulgor.preprocessing.limits import MESSAGE_MAX_BYTES

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
METRIC = re.compile(r"\bfulgor_[a-z_]+")
OWN_SERVICES = {"migrate", "consumer", "jobs"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "fulgor.json").read_text())
    return found


def defaults(text: str) -> str:
    """Put compose's defaults in: ``${NAME:-default}``."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)


def expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def exported() -> dict[str, set[str]]:
    """Each time series that a consumer exports, with its labels."""
    series: dict[str, set[str]] = {}
    for collector in vars(Metrics()).values():
        for family in getattr(collector, "describe", list)():
            labels = set(collector._labelnames)
            match family.type:
                case "counter":
                    series[f"{family.name}_total"] = labels
                case "histogram":
                    series |= {f"{family.name}_{part}": labels | {"le"} for part in ("bucket", "sum", "count")}
                case _:
                    series[family.name] = labels
    return series


def test_the_services_of_the_product_are_there(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == OWN_SERVICES | {"kafka", "topics", "postgres", "prometheus", "grafana"}


def test_images_are_pinned(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert ":" in service["image"], name
        assert not service["image"].endswith(":latest"), name


def test_every_setting_is_known_and_usable(compose: dict[str, Any]) -> None:
    for name in OWN_SERVICES:
        given = {key: defaults(str(value)) for key, value in compose["services"][name]["environment"].items()}
        ours = {key.removeprefix("FULGOR_").lower() for key in given if key.startswith("FULGOR_")}
        assert ours <= set(Settings.model_fields), name
        settings = load_settings(environment=given)
        assert settings.bootstrap == "kafka:19092"
        assert settings.database == "postgresql://fulgor@postgres:5432/fulgor"


def test_the_passwords_of_client_and_server_agree(compose: dict[str, Any]) -> None:
    server = compose["services"]["postgres"]["environment"]
    for name in OWN_SERVICES:
        assert compose["services"][name]["environment"]["PGPASSWORD"] == server["POSTGRES_PASSWORD"]


def test_every_variable_is_documented_with_its_default() -> None:
    used = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", (ROOT / "docker-compose.yml").read_text().split("\nx-", 1)[1]))
    lines = (DEPLOY / "env.example").read_text().splitlines()
    documented = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert documented == used


def test_nothing_listens_beyond_this_machine(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


def test_the_consumer_can_be_scaled(compose: dict[str, Any]) -> None:
    consumer = compose["services"]["consumer"]
    assert "container_name" not in consumer
    assert "ports" not in consumer
    partitions = int(re.findall(r"--partitions (\d+)", defaults(compose["services"]["topics"]["command"]))[0])
    assert partitions >= 4


def test_the_consumer_has_time_to_drain(compose: dict[str, Any]) -> None:
    grace = compose["services"]["consumer"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > Settings().drain_s + 10


def test_the_consumer_is_asked_whether_it_is_healthy(compose: dict[str, Any]) -> None:
    consumer = compose["services"]["consumer"]
    program = consumer["healthcheck"]["test"]
    assert program[:3] == ["CMD", "python", "-c"]
    port = consumer["environment"]["FULGOR_METRICS_PORT"]
    assert f"http://127.0.0.1:{port}/healthz" in program[3]
    metrics = Metrics()
    health = Health(metrics)
    with serving(0, metrics.registry, health) as ours:
        words = [sys.executable, "-c", program[3].replace(str(port), str(ours))]
        assert subprocess.run(words, check=False, timeout=30).returncode == 0
        health.watch(lambda: ["a thread"])
        assert subprocess.run(words, stderr=subprocess.DEVNULL, check=False, timeout=30).returncode != 0


def test_the_broker_takes_the_largest_message(compose: dict[str, Any]) -> None:
    environment = compose["services"]["kafka"]["environment"]
    assert environment["KAFKA_MESSAGE_MAX_BYTES"] == MESSAGE_MAX_BYTES
    assert environment["KAFKA_REPLICA_FETCH_MAX_BYTES"] == MESSAGE_MAX_BYTES


def test_the_broker_is_found_where_it_says_it_is(compose: dict[str, Any]) -> None:
    environment = compose["services"]["kafka"]["environment"]
    names = [entry.split("://")[0] for entry in environment["KAFKA_LISTENERS"].split(",")]
    secured = [entry.split(":")[0] for entry in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")]
    assert sorted(names) == sorted(secured)
    assert "INSIDE://kafka:19092" in environment["KAFKA_ADVERTISED_LISTENERS"]


@pytest.mark.parametrize("service", sorted(OWN_SERVICES))
def test_the_commands_exist(compose: dict[str, Any], service: str) -> None:
    words = [defaults(word) for word in compose["services"][service]["command"]]
    path = words if service != "consumer" else words[:1]
    answer = CliRunner().invoke(app, [*path, "--help"])
    assert answer.exit_code == 0, answer.output


def test_prometheus_looks_where_the_consumers_are(compose: dict[str, Any]) -> None:
    [job] = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    [place] = job["dns_sd_configs"]
    assert place["names"] == ["consumer"]
    assert place["type"] == "A"
    assert place["port"] == compose["services"]["consumer"]["environment"]["FULGOR_METRICS_PORT"]
    assert str(place["port"]) in compose["services"]["consumer"]["expose"]


def test_the_dashboard_shows_what_is_exported(dashboard: dict[str, Any]) -> None:
    series = exported()
    used = {name for expression in expressions(dashboard) for name in METRIC.findall(expression)}
    assert used <= set(series)
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in used}
    assert families >= {
        "fulgor_consumer_lag",
        "fulgor_messages_total",
        "fulgor_records_total",
        "fulgor_stage_seconds_total",
        "fulgor_batch_fill_ratio",
        "fulgor_batch_flushes_total",
        "fulgor_append_to_commit_seconds",
        "fulgor_dead_letters_total",
        "fulgor_gpu_memory_bytes",
        "fulgor_in_flight_bytes",
        "fulgor_paused",
        "fulgor_stage_items_total",
        "fulgor_oldest_pending_seconds",
        "fulgor_database_retries_total",
        "fulgor_database_up",
        "fulgor_process_info",
        "fulgor_alerts_published_total",
        "fulgor_alerts_pending",
    }


def test_the_dashboard_groups_by_labels_that_exist(dashboard: dict[str, Any]) -> None:
    series = exported()
    for expression in expressions(dashboard):
        for labels, name in re.findall(r"by \(([a-z, ]+)\) \((?:[a-z_]+\()?(fulgor_[a-z_]+)", expression):
            assert set(labels.split(", ")) <= series[name] | {"instance"}, expression


def test_panels_do_not_overlap_and_name_the_provisioned_source(dashboard: dict[str, Any]) -> None:
    [source] = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {source["uid"]}
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_grafana_finds_what_is_mounted(compose: dict[str, Any]) -> None:
    [provider] = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/fulgor.yml").read_text())["providers"]
    grafana = compose["services"]["grafana"]
    mounts = {volume.split(":")[1]: volume.split(":")[0] for volume in grafana["volumes"]}
    assert mounts[provider["options"]["path"]] == "./deploy/grafana/dashboards"
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (ROOT / mounts[str(home.parent)] / home.name).is_file()


def test_the_image_does_not_run_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert next(line for line in reversed(lines) if line.startswith("USER")) == "USER 10001:10001"
