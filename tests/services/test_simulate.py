"""Simulated alerts straight onto real brokers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, TopicPartition
from typer.testing import CliRunner

from fulgor.cli import app
from fulgor.replay.simulate.ztf import encode, simulate

from .conftest import Broker

pytestmark = pytest.mark.services


def test_each_alert_is_a_message_with_its_own_time(broker: Broker, topic: Callable[..., str]):
    name = topic()
    result = CliRunner().invoke(
        app,
        ["simulate", "ztf", "-n", "12", "--seed", "3", "--topic", name, "--bootstrap", broker.bootstrap, "--json"],
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["delivered"] == 12
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": uuid.uuid4().hex})
    consumer.assign([TopicPartition(name, 0, 0)])
    messages = consumer.consume(12, 30.0)
    consumer.close()
    alerts = list(simulate(12, 3))
    assert [message.value() for message in messages] == [encode([alert.record]) for alert in alerts]
    for message, alert in zip(messages, alerts, strict=True):
        header = dict(message.headers() or [])["fulgor-time-ms"]
        assert int(header) == pytest.approx((alert.jd - 2_440_587.5) * 86_400_000, abs=1)
