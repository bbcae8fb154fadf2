"""Where partitions begin and end, as every broker must say it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Producer

from fulgor.consumer.bounds import Bounds
from fulgor.consumer.messages import Partition
from fulgor.errors import BrokerError

pytestmark = pytest.mark.services
BEGAN = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)


def test_ends_and_times(broker, topic: Callable):
    name = topic(2)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for index in range(30):
        stamp = BEGAN + timedelta(seconds=index)
        producer.produce(name, b"x", partition=0, timestamp=int(stamp.timestamp() * 1000))
        if index % 10 == 9:
            assert producer.flush(60) == 0  # batches: the embedded broker takes the last one's beginning for the end
    bounds, full, empty = Bounds({"bootstrap.servers": broker.bootstrap}), Partition(name, 0), Partition(name, 1)
    assert (bounds.find(full, "earliest"), bounds.find(full, "latest")) == (0, 30)
    assert (bounds.find(empty, "earliest"), bounds.find(empty, "latest")) == (0, 0)
    for seconds, offset in ((-60, 0), (0, 0), (14.5, 15), (29, 29), (30, 30), (3600, 30)):
        assert bounds.find(full, (BEGAN + timedelta(seconds=seconds)).isoformat()) == offset
    assert bounds.find(empty, BEGAN.isoformat()) == 0
    assert bounds.find(full, "2999-01-01") == 30
    assert bounds.find(full, "1969-12-31T23:59:59.999") == 0  # -1 ms, by which a broker means the end
    bounds.close()


def test_a_partition_that_there_is_not_is_an_error(broker, topic: Callable):
    bounds, nowhere = Bounds({"bootstrap.servers": broker.bootstrap}), Partition(topic(1), 7)
    with pytest.raises(BrokerError):
        bounds.find(nowhere, "earliest")
    bounds.close()
