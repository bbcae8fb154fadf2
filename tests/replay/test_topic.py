from __future__ import annotations

import re

import pytest

from fulgor.replay.topic import Topic, timestamp_refusal

DAY = 86_400_000
NOW = 20_000 * DAY
KAFKA = {"message.timestamp.type": "CreateTime", "cleanup.policy": "delete", "retention.ms": str(7 * DAY)}


@pytest.mark.parametrize(
    ("settings", "age_days", "problem"),
    [
        (KAFKA, 6, None),
        (KAFKA, 8, "keeps messages for 7 days .* 8 days old"),
        (KAFKA | {"retention.ms": "-1"}, 5000, None),
        (KAFKA | {"cleanup.policy": "compact"}, 5000, None),
        (KAFKA | {"cleanup.policy": "compact,delete"}, 5000, "retention.ms"),
        (KAFKA | {"message.timestamp.type": "LogAppendTime"}, 0, "puts its own time"),
        (KAFKA | {"message.timestamp.before.max.ms": str(DAY)}, 2, "before.max.ms"),
        (KAFKA | {"message.timestamp.after.max.ms": "3600000"}, -1, "after.max.ms"),
        ({}, 0, "does not tell"),
    ],
)
def test_old_timestamps_are_kept_only_where_the_topic_keeps_them(
    settings: dict[str, str], age_days: int, problem: str | None
) -> None:
    refusal = timestamp_refusal(Topic("t", 1, settings), NOW - age_days * DAY, NOW)
    if problem is None:
        assert refusal is None
    else:
        assert refusal is not None
        assert re.search(problem, refusal)


def test_largest_message_where_the_broker_tells() -> None:
    assert Topic("t", 1, {"max.message.bytes": "1048588"}).max_message_bytes == 1_048_588
    assert Topic("t", 1, {}).max_message_bytes is None
