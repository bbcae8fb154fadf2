"""What goes onto the topic."""

from __future__ import annotations

from collections import Counter

import pytest

from fulgor.demo.simulation import NightAlert
from fulgor.demo.traffic import traffic
from fulgor.errors import MalformedError, NotThisStreamError
from fulgor.preprocessing.ztf import ZtfDecoder
from fulgor.replay.simulate.ztf import encode, simulate


@pytest.fixture(scope="module")
def alerts() -> list[NightAlert]:
    return [
        NightAlert(alert.jd, alert.record["candid"], alert.label, encode([alert.record]))
        for alert in simulate(20, seed=6)
    ]


def test_every_alert_is_sent_and_two_twice(alerts):
    made = traffic(alerts)
    values = Counter(message.value for message in [*made.backlog, *made.live])
    assert {alert.value for alert in alerts} <= set(values)
    assert sorted(values.values())[-3:] == [1, 2, 2]
    assert made.count == len(alerts) + made.broken + made.repeated == 25
    assert len(made.live) == 2


def test_time_order_is_kept_and_the_latest_come_live(alerts):
    made = traffic(alerts)
    sent = [message.value for message in made.backlog]
    firsts = sorted({value: sent.index(value) for value in {alert.value for alert in alerts[:18]}}.values())
    assert [sent[index] for index in firsts] == [alert.value for alert in alerts[:18]]
    assert [message.value for message in made.live] == [alert.value for alert in alerts[18:]]


def test_the_broken_ones_are_broken_in_three_ways(alerts):
    decoder = ZtfDecoder()
    whole = {alert.value for alert in alerts}
    broken = [message.value for message in traffic(alerts).backlog if message.value not in whole]
    assert len(broken) == 3
    reasons = []
    for value in broken:
        try:
            found = decoder(value)
        except MalformedError as error:
            reasons.append(error)
        else:
            reasons += found
    assert Counter(type(reason) for reason in reasons) == {MalformedError: 2, NotThisStreamError: 1}
    assert any("sync marker" in str(reason) for reason in reasons)
