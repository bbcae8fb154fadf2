"""Which stretch of time the options mean."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fulgor.cli.scope import stretch
from fulgor.errors import SettingsError


def test_a_night_is_a_day():
    assert stretch("2026-03-01", None, None) == (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))


def test_a_time_without_a_zone_is_utc():
    assert stretch(None, "2026-03-01T04:00", None) == (datetime(2026, 3, 1, 4, tzinfo=UTC), None)


@pytest.mark.parametrize("night", ["yesterday", "2026-02-30", "9999-12-31"])
def test_what_is_no_night_is_refused(night: str):
    with pytest.raises(SettingsError, match="write a UTC day"):
        stretch(night, None, None)


def test_a_night_and_a_time_exclude_each_other():
    with pytest.raises(SettingsError, match="exclude"):
        stretch("2026-03-01", "2026-03-01", None)
