"""Kafka's own group offsets: few, and told again until they are known."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from fulgor.consumer import kafkareport
from fulgor.consumer.kafkareport import OffsetReport
from fulgor.consumer.messages import Partition

ONE, TWO = Partition("t", 0), Partition("t", 1)
REFUSED = KafkaError(KafkaError.COORDINATOR_NOT_AVAILABLE)


class Coordinator:
    """Keeps what it is sent; the test answers."""

    def __init__(self) -> None:
        self.sent: list[list[TopicPartition]] = []

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        assert asynchronous
        self.sent.append(offsets)

    @property
    def last(self) -> dict[tuple[str, int], int]:
        return {(each.topic, each.partition): each.offset for each in self.sent[-1]}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(kafkareport, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def consumer() -> Any:
    return Coordinator()


def test_one_a_second_with_the_newest(clock: list[float], consumer: Any):
    report = OffsetReport()
    report.note({ONE: 1})
    report.send(consumer)
    report.note({ONE: 2})
    report.note({ONE: 3})
    report.send(consumer)
    clock[0] += 1.0
    report.send(consumer)  # the first is still on its way
    assert consumer.last == {ONE: 1}
    report.answered(None, consumer.sent[0])
    report.send(consumer)
    assert (len(consumer.sent), consumer.last) == (2, {ONE: 3})


def test_a_failed_one_is_sent_again_until_it_is_known(clock: list[float], consumer: Any):
    report = OffsetReport()
    report.note({ONE: 5, TWO: 7})
    report.send(consumer)
    for tries in range(1, 4):
        report.answered(REFUSED, consumer.sent[-1])
        report.send(consumer)
        assert len(consumer.sent) == tries  # not before its time
        clock[0] += 1.0
        report.send(consumer)
        assert (len(consumer.sent), consumer.last) == (tries + 1, {ONE: 5, TWO: 7})
    report.answered(None, consumer.sent[-1])
    clock[0] += 1.0
    report.send(consumer)
    assert len(consumer.sent) == 4


def test_a_newer_offset_is_not_undone_by_a_failed_report(clock: list[float], consumer: Any):
    report = OffsetReport()
    report.note({ONE: 5})
    report.send(consumer)
    report.note({ONE: 9})
    report.answered(REFUSED, consumer.sent[-1])
    clock[0] += 1.0
    report.send(consumer)
    assert consumer.last == {ONE: 9}


def test_two_on_their_way_are_told_apart(clock: list[float], consumer: Any):
    report = OffsetReport()
    report.note({ONE: 5})
    report.send(consumer)
    report.note({ONE: 9})
    report.send(consumer, at_once=True)
    report.answered(REFUSED, consumer.sent[0])
    report.answered(None, consumer.sent[1])
    clock[0] += 1.0
    report.send(consumer)
    assert len(consumer.sent) == 2


def test_what_was_let_go_is_its_next_owners_to_report(clock: list[float], consumer: Any):
    report = OffsetReport()
    report.note({ONE: 5, TWO: 7})
    report.send(consumer)
    report.forget([ONE])
    report.answered(REFUSED, consumer.sent[-1])
    clock[0] += 1.0
    report.send(consumer)
    assert consumer.last == {TWO: 7}
