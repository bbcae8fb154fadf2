"""Offsets that no message was read from, and why: what can be told, and what stays ``unknown``.

A hole says nothing about itself. What is known is the topic's ``cleanup.policy`` and the
``isolation.level`` that we read with:

==================  ==================  ==============  =================================================
cleanup.policy      isolation.level     hole            cause
==================  ==================  ==============  =================================================
holds ``compact``   any                 any             ``compacted``; it may hold control records too
``delete``          read_uncommitted    any             ``marker``: aborted records would have been read
``delete``          read_committed      one offset      ``marker``: each end of a transaction leaves one.
                                                        An aborted record alone between the records of
                                                        others looks the same
``delete``          read_committed      longer          ``unknown``: an aborted transaction, or the ends
                                                        of several at once
not to be had       any                 any             ``unknown``
==================  ==================  ==============  =================================================

``expired`` and ``operator`` are never inferred: the broker, or an order, has said so.
"""

from __future__ import annotations

from collections.abc import Sequence

from fulgor.storage.rows import Hole

__all__ = ["holes", "infer_cause"]


def infer_cause(policy: str, isolation: str, length: int) -> str:
    """Return why offsets in a row hold no message, as far as that can be told.

    Parameters
    ----------
    policy : str
        ``cleanup.policy`` of the topic; '' if the broker does not say.
    isolation : str
        ``isolation.level`` of our reading.
    length : int
        How many offsets.
    """
    if not policy:
        return "unknown"
    if "compact" in policy.split(","):
        return "compacted"
    return "marker" if length == 1 or isolation == "read_uncommitted" else "unknown"


def holes(first: int, after: int, cause: str, skips: Sequence[Hole]) -> tuple[Hole, ...]:
    """Return the holes that make up the offsets from `first` to before `after`.

    Parameters
    ----------
    first, after : int
        Offsets without a message; none if they are equal.
    cause : str
        Why, where no order of an operator covers them.
    skips : sequence of Hole
        The orders, by their first offsets.
    """
    found: list[Hole] = []
    reached = first
    for order in skips:
        begin, end = max(order.first_offset, reached), min(order.next_offset, after)
        if begin < end:
            if begin > reached:
                found.append(Hole(reached, begin, cause))
            found.append(Hole(begin, end, order.cause, order.note))
            reached = end
    if reached < after:
        found.append(Hole(reached, after, cause))
    return tuple(found)
