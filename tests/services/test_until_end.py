"""``--until-end`` means the end of every partition, also of those that a dead member still seems to hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from live import until
from toy import TABLE
from toyrun import consuming, finish, produce, query, start, stored_once

from fulgor.storage.database import connect
from fulgor.storage.migrate import migrate

pytestmark = pytest.mark.services


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    return database


# Under the classic protocol nobody begins before the dead are given up.
def test_the_partitions_of_a_dead_member_are_waited_for(kafka_broker, make_topic: Callable, tables: str):
    protocol = "consumer"
    name, where = make_topic(kafka_broker, 4), kafka_broker.bootstrap
    produce(where, name, range(40), 4)
    with consuming(where, name, tables, protocol), consuming(where, name, tables, protocol) as doomed:
        owners = "SELECT count(DISTINCT owner), sum(next_offset) FROM fulgor.feed"
        until(lambda: query(tables, owners) == [(2, 40)], "the two members do not share the topic")
        produce(where, name, range(40, 80), 4)
        doomed.kill()
        doomed.wait()
    finish(start(where, name, tables, protocol, "--until-end"))
    assert stored_once(tables) == list(range(80))
