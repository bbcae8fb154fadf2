"""A topic pattern whose topics appear, grow, disappear and come back while they are consumed: exactly once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import NewPartitions, NewTopic
from live import until
from toy import TABLE
from toyrun import consuming, count, produce, query, stored_once

from fulgor.storage.database import connect
from fulgor.storage.migrate import migrate

pytestmark = pytest.mark.services

SOON = {"FULGOR_KAFKA_TOPIC_METADATA_REFRESH_INTERVAL_MS": "200"}


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    return database


@pytest.fixture
def night(kafka_broker) -> Iterator[Callable[[str, int], str]]:
    """Make topics of one night's pattern: ``night(name, partitions)``; the pattern is ``^PREFIX_[0-9]+$``."""
    prefix, made, admin = f"night-{uuid.uuid4().hex[:8]}", set(), kafka_broker.admin()

    def make(name: str, partitions: int) -> str:
        topic = f"{prefix}_{name}"
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(60)
        made.add(topic)
        return topic

    make.pattern = f"^{prefix}_[0-9]+$"
    yield make
    for topic, future in admin.delete_topics(sorted(made)).items():
        assert future.exception(60) is None, topic


def all_stored(tables: str, number: int) -> None:
    until(lambda: count(tables) >= number, f"fewer than {number} rows")


# Not on the embedded broker: it has no create_partitions, and librdkafka 2.16 dies (SIGSEGV) of its answer about a
# topic that was deleted.
@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_topics_appear_grow_disappear_and_come_back(kafka_broker, night: Callable, tables: str, protocol: str):
    where, admin = kafka_broker.bootstrap, kafka_broker.admin()
    first = night("1", 1)
    produce(where, first, range(10))
    with consuming(where, night.pattern, tables, protocol, **SOON) as consumer:
        all_stored(tables, 10)
        second = night("2", 1)
        produce(where, second, range(10, 20))
        admin.create_partitions([NewPartitions(first, 3)])[first].result(60)
        produce(where, first, range(20, 50), 3)
        all_stored(tables, 50)
        admin.delete_topics([second])[second].result(60)
        # A member does not see what came back between two looks of it.
        if protocol == "classic":  # told by its own metadata; it holds on to the partition
            while f"not available: {second}" not in consumer.stderr.readline():
                assert consumer.poll() is None
        else:  # told by the broker, which takes the partition away
            gone = f"SELECT released_at IS NOT NULL FROM fulgor.feed WHERE topic = '{second}'"
            until(lambda: query(tables, gone) == [(True,)], "what is gone is still held")
        produce(where, night("2", 1), range(50, 55))
        all_stored(tables, 55)
    assert stored_once(tables) == list(range(55))
    again = f"SELECT first_offset, next_offset FROM fulgor.ledger WHERE topic = '{second}' ORDER BY next_offset"
    assert query(tables, again) == [(0, 5), (0, 10)]
    grown = f"SELECT partition, first_offset, next_offset FROM fulgor.ledger WHERE topic = '{first}' ORDER BY 1"
    assert query(tables, grown) == [(0, 0, 20), (1, 0, 10), (2, 0, 10)]
