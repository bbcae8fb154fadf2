from __future__ import annotations

import json
import os
import socket
import urllib.error
import urllib.request

import pytest

from fulgor.consumer.endpoint import serving
from fulgor.consumer.health import EngineState, Health
from fulgor.consumer.metrics import Metrics
from fulgor.embedded.ports import is_free
from fulgor.errors import SettingsError


def get(port: int, path: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def port_of_nobody() -> int:
    """Return a free port below those that the system deals out: nobody else takes it between two uses."""
    return next(port for port in range(20_000 + os.getpid() % 10_000, 32_768) if is_free(port))


def test_metrics_and_both_answers_share_a_port():
    metrics = Metrics()
    health = Health(metrics)
    with serving(0, metrics.registry, health) as port:
        code, kind, body = get(port, "/metrics")
        assert (code, kind.split(";")[0]) == (200, "text/plain")
        assert "fulgor_messages_total 0.0" in body
        assert get(port, "/healthz") == (200, "application/json", '{"ok": true}\n')
        code, _, body = get(port, "/readyz")
        assert (code, json.loads(body)) == (
            503,
            {
                "ok": False,
                "reason": "not yet a member of the group, or its partitions are not claimed yet",
            },
        )
        metrics.database_up.set(1)
        health.note(EngineState(joined=True, paused=False))
        assert get(port, "/readyz?verbose")[0] == 200
        health.watch(lambda: ["fulgor-worker"])
        assert get(port, "/healthz")[0] == 503
        assert get(port, "/../etc/passwd")[0] == 404


def test_the_port_is_free_afterwards():
    metrics, port = Metrics(), port_of_nobody()
    with serving(port, metrics.registry, Health(metrics)):
        pass
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60)
    with serving(port, metrics.registry, Health(metrics)):
        assert get(port, "/healthz")[0] == 200


def test_a_taken_port_is_a_users_mistake():
    metrics = Metrics()
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        with (
            pytest.raises(SettingsError, match="--metrics-port"),
            serving(taken.getsockname()[1], metrics.registry, Health(metrics)),
        ):
            pass


def test_no_port_no_server():
    metrics = Metrics()
    with serving(None, metrics.registry, Health(metrics)) as port:
        assert port is None


def test_a_client_that_says_nothing_keeps_nobody_waiting():
    metrics = Metrics()
    with (
        serving(0, metrics.registry, Health(metrics)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=60),
    ):
        assert get(port, "/healthz")[0] == 200
