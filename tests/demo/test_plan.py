"""Which night comes next."""

from __future__ import annotations

from datetime import date

import pytest

from fulgor.demo.plan import Night


def test_each_night_has_its_own_date_topic_group_and_seeds():
    first, second = Night(1), Night(2)
    assert first.date == date(2026, 3, 1)
    assert second.date == date(2026, 3, 2)
    assert first.topic == "ztf_20260301_programid1"
    assert first.group == "fulgor-demo-0001"
    assert not set(first.seeds) & set(second.seeds)


def test_a_night_begins_at_its_date_s_midnight():
    # 2026-03-01T00:00 UTC
    assert Night(1).start_jd == pytest.approx(2461100.5)
    assert Night(32).start_jd - Night(1).start_jd == 31
