"""When a run that shall stop at the end of its topics may stop.

Not before all of its own is read and stored, nor before the partitions of the others are: a dead
member keeps its partitions until its session times out, and somebody must be left to read them.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from time import monotonic

from fulgor.consumer.assignments import Assignments
from fulgor.consumer.claims import Claims, GroupStart
from fulgor.consumer.committer import Committer
from fulgor.consumer.messages import Partition
from fulgor.consumer.source import Source
from fulgor.consumer.threads import Background
from fulgor.errors import BrokerError
from fulgor.storage.feeds import FeedKey

__all__ = ["Ending"]

log = logging.getLogger(__name__)
_ASK_S = 1.0


class Ending:
    """Knows whether everything was read, by us and by the other members of the group.

    Parameters
    ----------
    source : Source
        Knows which partitions there are, and where they end.
    held, claims : Assignments, Claims
        What is ours.
    background, committer : Background, Committer
        Ask the database how far the others are.
    begin : GroupStart
        The group.
    """

    def __init__(
        self, source: Source, held: Assignments, claims: Claims, background: Background, committer: Committer,
        begin: GroupStart,
    ) -> None:  # fmt: skip
        self._source = source
        self._held = held
        self._claims = claims
        self._background = background
        self._committer = committer
        self._begin = begin
        self._ends: dict[FeedKey, int] | None = None
        self._answer: Future[dict[FeedKey, int]] | None = None
        self._next_question = 0.0

    def own_read(self) -> bool:
        """Tell whether everything that the group gave us was read to its end."""
        return self._claims.idle and all(assignment.at_end for assignment in self._held.all())

    def others_stored(self) -> bool:
        """Tell whether what is not ours is stored up to where it ended when ours did; asked now and then."""
        if self._answer is not None:
            if not self._answer.done():
                return False
            stored, self._answer = self._answer.result(), None
            if all(stored.get(key, 0) >= end for key, end in (self._ends or {}).items()):
                return True
        if monotonic() >= self._next_question:
            self._next_question = monotonic() + _ASK_S
            return self._ask()
        return False

    def _ask(self) -> bool:
        """Ask the database; True if there is nothing to ask for."""
        try:
            ends = self._ends = self._others_ends() if self._ends is None else self._ends
        except BrokerError as error:
            log.warning("cannot tell yet whether everything is read: %s", error)
            return False
        if ends:
            self._answer = self._background.offer(lambda: self._committer.stored(ends))
        return not ends

    def _others_ends(self) -> dict[FeedKey, int]:
        counts = self._source.partitions()
        there = [Partition(topic, number) for topic, count in counts.items() for number in range(count)]
        others = [partition for partition in there if self._held.get(partition) is None]
        return {
            self._begin.key(
                self._source.cluster, partition, self._source.topic_id(partition.topic)
            ): self._source.start_offset(partition, "latest")
            for partition in others
        }
