from __future__ import annotations

import pytest

from fulgor.consumer.health import EngineState, Health
from fulgor.consumer.metrics import Metrics

WORKING = EngineState(joined=True, paused=False)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics()
    metrics.database_up.set(1)
    return metrics


def test_a_working_member_is_healthy_and_ready(metrics: Metrics, clock: Clock):
    health = Health(metrics, clock)
    health.note(WORKING)
    assert health.healthy().as_json() == health.ready().as_json() == {"ok": True}


def test_before_the_group_answers_it_is_healthy_and_not_ready(metrics: Metrics, clock: Clock):
    health = Health(metrics, clock)
    health.note(EngineState(joined=False, paused=False))
    assert health.healthy().ok
    assert "group" in health.ready().reason


def test_a_database_that_is_away_is_no_reason_to_restart(metrics: Metrics, clock: Clock):
    health = Health(metrics, clock)
    health.note(WORKING)
    metrics.database_up.set(0)
    assert health.healthy().ok
    assert "database" in health.ready().reason


def test_only_a_long_pause_counts(metrics: Metrics, clock: Clock):
    health = Health(metrics, clock)
    for _ in range(59):
        health.note(EngineState(joined=True, paused=True))
        clock.now += 1
    assert health.ready().ok
    clock.now += 1
    health.note(EngineState(joined=True, paused=True))
    assert "60 s" in health.ready().reason
    health.note(WORKING)
    assert health.ready().ok


def test_silence_is_unready_at_first_and_unhealthy_later(metrics: Metrics, clock: Clock):
    health = Health(metrics, clock)
    health.note(WORKING)
    clock.now += 45
    assert health.healthy().ok
    assert health.ready().reason == "nothing was polled for 45 s"
    clock.now += 255
    assert health.healthy().reason == "nothing was polled for 300 s"


def test_a_dead_thread_is_named(metrics: Metrics, clock: Clock):
    health = Health(metrics, clock)
    health.note(WORKING)
    health.watch(lambda: ["fulgor-writer"])
    assert "fulgor-writer" in health.healthy().reason
    assert "fulgor-writer" in health.ready().reason
