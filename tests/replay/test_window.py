"""Windows of time from text."""

from __future__ import annotations

import pytest

from fulgor.errors import SettingsError
from fulgor.replay.window import parse_window

HOUR = 3_600_000
MARCH = 1_772_323_200_000  # 2026-03-01T00:00:00Z


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026-03-01", MARCH, MARCH + 24 * HOUR),
        ("2026-03-01/2026-03-03", MARCH, MARCH + 48 * HOUR),
        ("2026-03-01T03:00/2026-03-01T04:30", MARCH + 3 * HOUR, MARCH + 4 * HOUR + HOUR // 2),
        ("2026-03-01T03:00+02:00/", MARCH + HOUR, None),
        ("/2026-03-01T00:00:00Z", None, MARCH),
    ],
)
def test_what_a_text_names(text: str, start: int | None, end: int | None):
    window = parse_window(text)
    assert (window.start_ms, window.end_ms) == (start, end)
    assert None not in window
    for edge, inside in ((start, True), (end, False)):
        if edge is not None:
            assert (edge in window) is inside
            assert (edge - 1 in window) is not inside


@pytest.mark.parametrize(
    "text", ["", "/", "yesterday", "2026-13-01", "2026-03-02/2026-03-01", "2026-03-01/now", "9999-12-31"]
)
def test_what_names_none(text: str):
    with pytest.raises(SettingsError, match="--window"):
        parse_window(text)
