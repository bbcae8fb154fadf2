"""Messages that kill the process: found by attempts written down before the work, then quarantined.

A claim that begins where the last ones began, none of them having left in good order, says that
something after this offset ends the process. From then on the messages there are worked on one by
one, each trial written down before it begins; a message that was begun alone twice and never
finished is kept as a dead letter without being touched a third time.
"""

from __future__ import annotations

from fulgor.consumer.messages import Delivery
from fulgor.consumer.pending import Pending
from fulgor.storage.feeds import Claim
from fulgor.storage.rows import Coordinates, DeadLetter

__all__ = ["CLAIMS", "REACH", "TRIALS", "alone_until", "is_tried_alone", "quarantined"]

CLAIMS = 3
"""Claims in a row at one offset from which on messages are tried alone: two deaths came before."""

TRIALS = 2
"""Trials alone that a message may end the process with."""

REACH = 4096
"""Messages tried alone: no more can have been under work and uncommitted when the process died."""


def alone_until(claimed: Claim) -> int:
    """Return the offset up to which messages are tried alone; 0 where nothing is suspected."""
    if claimed.next_offset is None:
        return 0
    suspected = claimed.attempts >= CLAIMS or claimed.trial_offset == claimed.next_offset
    return claimed.next_offset + REACH if suspected else 0


def is_tried_alone(delivery: Delivery) -> bool:
    """Tell whether a message lies where something has killed the process."""
    return not delivery.is_mark and delivery.offset < delivery.assignment.alone_until


def quarantined(delivery: Delivery, trials: int) -> Pending | None:
    """Return the message as a dead letter if it was begun alone too often; None if it may be tried."""
    if trials <= TRIALS:
        return None
    at = Coordinates(delivery.assignment.feed_id, delivery.assignment.segment, delivery.offset, 0, 0, 1, 1)
    reason = f"the process died {trials - 1} times while it worked on this message alone (out of memory, or a crash)"
    return Pending(delivery, dead=[DeadLetter(at, "crash", "poison", reason)])
