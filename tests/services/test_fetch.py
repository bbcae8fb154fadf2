"""Single messages read back by their offsets, on real brokers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from fulgor.consumer.fetch import Place, fetch
from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.messages import Partition

pytestmark = pytest.mark.services


@pytest.fixture
def filled(broker, topic: Callable) -> str:
    name = topic(2)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(60):
        producer.produce(name, b"%d-" % number + bytes(40_000), partition=number % 2)
    producer.produce(name, None, key=b"tombstone", partition=0)
    assert producer.flush(60) == 0
    return name


def test_each_message_comes_from_its_place(broker, filled: str):
    places = [Place(Partition(filled, number), offset) for number, offset in ((1, 29), (0, 0), (0, 17), (1, 3))]
    found = fetch(Cluster(broker.bootstrap, {}), places)
    assert {place: value.split(b"-")[0] for place, value in found.items()} == {
        Place(Partition(filled, number), offset): b"%d" % (2 * offset + number)
        for number, offset in ((1, 29), (0, 0), (0, 17), (1, 3))
    }


def test_what_is_gone_or_empty_is_absent(broker, filled: str):
    kept = Place(Partition(filled, 0), 5)
    places = [
        kept,
        Place(Partition(filled, 0), 30),  # the tombstone
        Place(Partition(filled, 0), 31),  # the end
        Place(Partition(filled, 0), 4000),
    ]
    assert set(fetch(Cluster(broker.bootstrap, {}), places)) == {kept}


def test_nothing_asked_is_nothing_found(broker):
    assert fetch(Cluster(broker.bootstrap, {}), []) == {}
