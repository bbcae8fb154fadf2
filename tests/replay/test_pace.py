from __future__ import annotations

import pytest

from fulgor.errors import SettingsError
from fulgor.replay.pace import choose_pace


def test_at_once() -> None:
    pace = choose_pace(None, None)
    assert [pace.due(time) for time in (5000, None, 0)] == [0, 0, 0]


def test_rate_counts_messages_through_repetitions() -> None:
    pace = choose_pace(4, None)
    assert [pace.due(None) for _ in range(3)] == [0, 0.25, 0.5]
    pace.restart()
    assert pace.due(None) == 0.75


def test_speed_keeps_intervals_and_order() -> None:
    pace = choose_pace(None, 10)
    times = [100_000, 120_000, None, 110_000, 150_000]
    assert [pace.due(time) for time in times] == [0, 2, 2, 2, 5]


def test_speed_repeats_from_where_it_was() -> None:
    pace = choose_pace(None, 1)
    assert [pace.due(time) for time in (1000, 3000)] == [0, 2]
    pace.restart()
    assert [pace.due(time) for time in (1000, 3000)] == [2, 4]


def test_speed_begins_with_the_first_message_that_has_a_time() -> None:
    pace = choose_pace(None, 1)
    assert [pace.due(time) for time in (None, 9000, 10_000)] == [0, 0, 1]


@pytest.mark.parametrize(
    ("rate", "speed", "problem"),
    [
        (1, 1, "exclude"),
        (0, None, "--rate 0"),
        (-1, None, "--rate"),
        (None, 0, "--speed"),
        (None, float("nan"), "--speed"),
    ],
)
def test_impossible_paces_are_refused(rate: float | None, speed: float | None, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        choose_pace(rate, speed)
