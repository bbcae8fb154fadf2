"""Which polled messages are the next of their partitions."""

from __future__ import annotations

import pytest

from fulgor.consumer.messages import Assignment, Partition
from fulgor.consumer.reading import next_delivery
from fulgor.consumer.source import Polled
from fulgor.errors import BrokerError
from fulgor.storage.rows import Hole

HERE = Partition("t", 0)


@pytest.fixture
def held() -> Assignment:
    return Assignment(HERE, feed_id=1, epoch=1, segment=0, expected=10)


def test_the_next_message_moves_the_assignment_on(held: Assignment):
    found = next_delivery(Polled(HERE, 10, b"x"), held)
    assert found is not None
    assert (found.previous, found.offset, held.expected, held.at_end) == (10, 10, 11, False)


def test_a_hole_is_part_of_the_message_behind_it(held: Assignment):
    found = next_delivery(Polled(HERE, 15, b"x", cause="marker"), held)
    assert found is not None
    assert (found.previous, found.cause, held.expected) == (10, "marker", 16)


def test_what_was_read_before_or_for_nobody_is_nothing(held: Assignment):
    assert next_delivery(Polled(HERE, 9, b"x"), held) is None
    assert next_delivery(Polled(HERE, 3, is_mark=True), held) is None  # an end mark that comes late
    assert next_delivery(Polled(HERE, 10, b"x"), None) is None
    held.lost = True
    assert next_delivery(Polled(HERE, 10, b"x"), held) is None
    assert held.expected == 10


def test_the_end_accounts_for_what_lies_before_it(held: Assignment):
    assert next_delivery(Polled(HERE, 10, is_mark=True), held) is None
    assert held.at_end
    found = next_delivery(Polled(HERE, 12, is_mark=True), held)
    assert found is not None
    assert (found.is_mark, found.previous, held.expected, held.at_end) == (True, 10, 12, True)
    next_delivery(Polled(HERE, 12, b"x"), held)
    assert not held.at_end


def test_an_order_to_pass_over_leaves_it_to_the_next(held: Assignment):
    held.skips = (Hole(10, 12, "operator"),)
    assert next_delivery(Polled(HERE, 10, b"x"), held) is None
    assert next_delivery(Polled(HERE, 11, b"x"), held) is None
    found = next_delivery(Polled(HERE, 12, b"x"), held)
    assert found is not None
    assert found.previous == 10


def test_a_jump_ahead_over_expired_offsets_is_no_end(held: Assignment):
    found = next_delivery(Polled(HERE, 40, is_mark=True, cause="expired"), held)
    assert found is not None
    assert (found.previous, held.expected, held.at_end) == (10, 40, False)


def test_a_partition_that_begins_before_our_offset_was_made_anew(held: Assignment):
    with pytest.raises(BrokerError, match="made anew"):
        next_delivery(Polled(HERE, 0, is_mark=True, cause="expired"), held)
