"""Which of the polled messages are the next of their partitions."""

from __future__ import annotations

from time import monotonic

from fulgor.consumer.messages import Assignment, Delivery
from fulgor.consumer.source import Polled
from fulgor.errors import BrokerError

__all__ = ["next_delivery"]


def next_delivery(polled: Polled, assignment: Assignment | None) -> Delivery | None:
    """Return what a polled message or mark accounts for, and move the assignment on; None if that is nothing.

    Parameters
    ----------
    polled : Polled
        As the source gave it.
    assignment : Assignment or None
        Under which its partition is held; None if it is not.

    Raises
    ------
    BrokerError
        The partition ends before the offset that is expected next: the topic was made anew.
    """
    if assignment is None or assignment.lost:
        return None  # read under an earlier assignment
    if polled.offset < assignment.expected:
        # Only the broker's word that our offset is out of range counts: an end-of-partition mark may be late.
        if polled.is_mark and polled.cause == "expired":
            raise _gone_back(polled, assignment)
        return None  # read before a seek
    if polled.is_mark:
        assignment.at_end = assignment.at_end or polled.cause != "expired"
        if polled.offset == assignment.expected:
            return None
    elif assignment.passes_over(polled.offset):
        return None  # the next message, or the mark of the end, accounts for it
    else:
        assignment.at_end = False
    delivery = Delivery(
        assignment, polled.offset, assignment.expected, polled.value, polled.key, polled.headers,
        polled.timestamp_ms, monotonic(), polled.is_mark, polled.cause,
    )  # fmt: skip
    assignment.expected = delivery.next_offset
    return delivery


def _gone_back(polled: Polled, assignment: Assignment) -> BrokerError:
    return BrokerError(
        f"{polled.partition}: the next offset is {assignment.expected}, but the partition ends or begins at"
        f" {polled.offset}: the topic was made anew or cut off. Start again: where the broker gives topics ids, a new"
        " topic is read from its beginning; elsewhere take another --group"
    )
