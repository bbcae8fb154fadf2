from __future__ import annotations

import re
from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.cimpl import NewTopic

import fulgor.replay.topic as topic_module
from fulgor.replay.topic import Topic, open_topic, timestamp_refusal

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


def test_a_topic_that_somebody_else_creates_at_the_same_moment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    there: dict[str, int] = {}

    class Admin:
        def __init__(self, config: object) -> None: ...

        def create_topics(self, topics: list[NewTopic], **_: object) -> dict[str, Future[None]]:
            there[topics[0].topic] = 4
            answer: Future[None] = Future()
            answer.set_exception(KafkaException(KafkaError(KafkaError.TOPIC_ALREADY_EXISTS)))
            return {topics[0].topic: answer}

    class Broker:
        bootstrap, config = "broker:9092", {}

        def matching(self, name: str) -> dict[str, int]:
            return dict(there)

    monkeypatch.setattr(topic_module, "AdminClient", Admin)
    monkeypatch.setattr(topic_module, "_settings", lambda admin, name: KAFKA)
    assert open_topic(Broker(), "night", create=2) == Topic("night", 4, KAFKA)  # type: ignore[arg-type]


def test_largest_message_where_the_broker_tells() -> None:
    assert Topic("t", 1, {"max.message.bytes": "1048588"}).max_message_bytes == 1_048_588
    assert Topic("t", 1, {}).max_message_bytes is None
