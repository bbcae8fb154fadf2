"""Conditions on what is in a message."""

from __future__ import annotations

import pytest

from fulgor.errors import SettingsError
from fulgor.replay.archived import ArchivedMessage
from fulgor.replay.selection import Selection, parse_condition
from fulgor.replay.window import parse_window

from .conftest import container

MESSAGE = ArchivedMessage(container(2, jd=2_460_000.5), "m", 0)  # 2023-02-25, a minute apart, ZTF0 and ZTF1


@pytest.mark.parametrize(
    ("conditions", "meets"),
    [
        ([], True),
        (["candidate.jd > 2460000.4"], True),
        (["candidate.jd>2460000.9"], False),
        (["objectId = ZTF1"], True),
        (["objectId = 'ZTF2'"], False),
        (["objectId = ZTF1", "candidate.jd = 2460000.5"], False),  # one record has to meet both
        (["objectId = ZTF0", "candidate.jd = 2460000.5"], True),
        (["objectId != ZTF0", "objectId != ZTF1"], False),
        (["candidate.absent > 0"], False),
        (["candidate.jd = text"], False),
    ],
)
def test_one_record_has_to_meet_all(conditions: list[str], meets: bool):
    assert (MESSAGE in Selection(None, [parse_condition(text) for text in conditions])) is meets


def test_what_cannot_be_decoded_meets_none():
    broken = ArchivedMessage(b"broken", "m", 0)
    assert broken in Selection()
    assert broken not in Selection(None, [parse_condition("objectId != x")])


def test_a_window_is_of_the_original_time():
    assert MESSAGE in Selection(parse_window("2023-02-25"))
    assert MESSAGE not in Selection(parse_window("2023-02-26"))
    replayed = ArchivedMessage(b"", "m", 0, headers=(("fulgor-time-ms", b"1677283200000"),), timestamp_ms=1)
    assert replayed in Selection(parse_window("2023-02-25"))
    assert ArchivedMessage(b"", "m", 0) not in Selection(parse_window("2023-02-25"))


@pytest.mark.parametrize("text", ["", "magpsf", "< 3", "a..b < 3", "a < "])
def test_what_states_nothing(text: str):
    with pytest.raises(SettingsError, match="--where"):
        parse_condition(text)


def test_a_field_is_a_value_or_has_parts():
    with pytest.raises(SettingsError, match="as a value"):
        Selection(None, [parse_condition("candidate = 3"), parse_condition("candidate.jd < 3")])
