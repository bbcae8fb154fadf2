"""What the thread that watches the models shows of them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from toy import ToyPredictor, ToyStream

from fulgor.consumer import switching as switching_module
from fulgor.consumer.lineup import Lineup, Scorer
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.switching import Switching
from fulgor.storage.drift import NightDrift

NOW = datetime(2026, 3, 2, tzinfo=UTC)
NIGHT = NightDrift("toy", date(2026, 3, 1), "toy-1", "0" * 16, "live", 9, 9, 9, 0.5, 0.2, 0.01, None, True, NOW)


def test_the_drift_is_on_every_page_while_it_is_the_same(monkeypatch: pytest.MonkeyPatch):
    metrics, nights, without = Metrics(), [NIGHT, NIGHT, None], []
    lineup = Lineup(Scorer(1, ToyPredictor()))
    switching = Switching("postgresql://h/d", ToyStream(), lineup, lambda _: ToyPredictor(), lambda _: None, metrics)
    clear = metrics.drift.clear

    def cleared() -> None:
        clear()
        without.append(metrics.registry.get_sample_value("fulgor_drift", {"model": "0" * 16, "figure": "distance"}))

    monkeypatch.setattr(metrics.drift, "clear", cleared)
    monkeypatch.setattr(switching_module, "latest_drift", lambda *_: nights.pop(0))
    for pages_without, shown in ((1, 0.5), (1, 0.5), (2, 0.0)):
        switching._show_drift(None)
        assert metrics.value("fulgor_drift", model="0" * 16, figure="distance") == shown
        assert without == [None] * pages_without
