"""From "the group gives us this partition" to "we read it from here".

The group's word only notes a partition as wanted. The claim itself is made in the polling loop, a
step a round, its part in the database on the writer thread: a database that is away, or a broker
that does not describe a topic, keeps partitions waiting and holds up neither the polling nor the
group. Whatever goes wrong is tried again for as long as the database is waited for.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from fulgor.consumer.committer import Committer
from fulgor.consumer.messages import Assignment, Partition
from fulgor.consumer.poison import alone_until
from fulgor.consumer.source import Source
from fulgor.consumer.threads import Background
from fulgor.errors import BrokerError, TopicError
from fulgor.storage.feeds import Claim, FeedKey

__all__ = ["Claims", "GroupStart"]

log = logging.getLogger(__name__)
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class GroupStart:
    """Where a group begins in partitions that it has no offsets of.

    Parameters
    ----------
    group : str
        Consumer group.
    start : str
        ``earliest``, ``latest`` or an ISO time: for partitions that were there at the group's first start.
    partitions : mapping of str to int
        The topics of that first start with their numbers of partitions; any other begins at its beginning.
    """

    group: str
    start: str
    partitions: Mapping[str, int]

    def of(self, partition: Partition) -> str:
        """Return where a partition begins."""
        return self.start if partition.number < self.partitions.get(partition.topic, 0) else "earliest"

    def key(self, cluster: str, partition: Partition, topic_id: str) -> FeedKey:
        """Return the key of a partition's stored offset."""
        return FeedKey(self.group, cluster, partition.topic, topic_id, partition.number)


@dataclass(slots=True, eq=False)
class _Request:
    """Claims on their way to the database and back."""

    keys: dict[Partition, FeedKey]
    abandoned: set[Partition] = field(default_factory=set)
    answer: Future[dict[FeedKey, Claim]] = field(default_factory=Future)


class Claims:
    """Partitions that are ours by the group's word, and whose feeds are still to be claimed.

    Parameters
    ----------
    source : Source
        Asked for topic ids, and where a partition without a stored offset begins.
    committer : Committer
        Claims feeds.
    background : Background
        Its writer thread.
    begin : GroupStart
        The group, and where it began.
    patience_s : float
        How long a broker that does not answer is asked again.
    """

    def __init__(
        self, source: Source, committer: Committer, background: Background, begin: GroupStart, *, patience_s: float
    ) -> None:
        self._source = source
        self._committer = committer
        self._background = background
        self._begin = begin
        self._patience_s = patience_s
        self._wanted: dict[Partition, float] = {}
        self._request: _Request | None = None
        self._failing_since: float | None = None

    @property
    def idle(self) -> bool:
        """True if nothing waits to be claimed."""
        return not self._wanted and self._request is None

    def partitions(self) -> list[Partition]:
        """Return what waits to be claimed, or is being claimed."""
        asked = [] if self._request is None else [*self._request.keys]
        return [*self._wanted, *(partition for partition in asked if partition not in self._wanted)]

    def want(self, partitions: Collection[Partition], delay_s: float = 0.0) -> None:
        """Claim these, but not before some seconds have passed."""
        self._wanted |= dict.fromkeys(partitions, monotonic() + delay_s)

    def forget(self, partitions: Collection[Partition], wait_s: float = 0.0) -> None:
        """Claim these no longer.

        Parameters
        ----------
        partitions : collection of Partition
            They need not be wanted.
        wait_s : float
            How long to wait for a claim on its way: coming late, it would fence the next owner.
        """
        for partition in partitions:
            self._wanted.pop(partition, None)
        if not self._wanted:
            self._failing_since = None  # what the broker did not answer is asked no more
        request = self._request
        if request is None or request.keys.keys().isdisjoint(partitions):
            return
        request.abandoned.update(partitions)
        if wait_s and self._background.failure is None:
            wait([request.answer], wait_s)
        if request.answer.done() and request.abandoned >= request.keys.keys():
            self._request = None
            self._release_abandoned(request)

    def step(self) -> list[Assignment]:
        """Go on with what is wanted, without waiting; return what can be read from now on.

        Raises
        ------
        BrokerError
            The broker did not answer for too long.
        FulgorError
            The database did not come back.
        """
        if self._request is None:
            self._ask()
            return []
        if not self._request.answer.done():
            return []
        request, self._request = self._request, None
        return self._assignments(request)

    def _ask(self) -> None:
        now = monotonic()
        due = [partition for partition, since in self._wanted.items() if since <= now]
        if not due:
            return
        ids: dict[str, str] = {}
        try:
            for topic in {partition.topic for partition in due}:
                with suppress(TopicError):  # it is being deleted: the group takes it back
                    ids[topic] = self._source.topic_id(topic)
        except BrokerError as error:
            self._try_again(due, error)
            return
        cluster = self._source.cluster
        keys = {part: self._begin.key(cluster, part, ids[part.topic]) for part in due if part.topic in ids}
        if gone := [partition for partition in due if partition not in keys]:
            log.info("%s cannot be claimed: no such topic", ", ".join(map(str, gone)))
            self.want(gone, _RETRY_S)
        if keys:
            self._send(keys)

    def _send(self, keys: dict[Partition, FeedKey]) -> None:
        for partition in keys:
            del self._wanted[partition]
        request = self._request = _Request(keys)

        def claim() -> dict[FeedKey, Claim]:
            return self._committer.claim(
                lambda: [key for partition, key in keys.items() if partition not in request.abandoned]
            )

        request.answer = self._background.offer(claim)

    def _assignments(self, request: _Request) -> list[Assignment]:
        claims = request.answer.result()
        self._release_abandoned(request)
        started: list[Assignment] = []
        failed: list[Partition] = []
        problem: BrokerError | None = None
        for partition, key in request.keys.items():
            if partition in request.abandoned:
                continue
            if problem is not None and claims[key].next_offset is None:
                failed.append(partition)  # one silence a round is enough: nothing is polled meanwhile
                continue
            try:
                started.append(self._started(partition, claims[key]))
            except BrokerError as error:
                failed.append(partition)
                problem = error
        if problem is None:
            self._failing_since = None
        else:
            self._try_again(failed, problem)
        return started

    def _started(self, partition: Partition, claimed: Claim) -> Assignment:
        offset = claimed.next_offset
        if offset is None:
            start = self._begin.of(partition)
            first = offset = self._source.start_offset(partition, start)
            # Not waited for: the writer does it before it comes to anything that is read from there.
            self._background.order(lambda: self._committer.open_segments([(claimed, first, start)]))
        return Assignment(
            partition, claimed.feed_id, claimed.epoch, claimed.segment, offset,
            skips=claimed.skips, alone_until=alone_until(claimed), claimed_at=claimed.claimed_at,
        )  # fmt: skip

    def _try_again(self, partitions: Sequence[Partition], error: BrokerError) -> None:
        now = monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since >= self._patience_s:
            raise error
        log.warning("%s cannot be claimed yet: %s", ", ".join(map(str, partitions)), error)
        self.want(partitions, _RETRY_S)

    def _release_abandoned(self, request: _Request) -> None:
        """Say that what was claimed in vain was left in good order; whoever has it by now is not touched."""
        if request.answer.exception() is not None:
            return
        claims = request.answer.result()
        vain = [claims[key] for part in request.abandoned if (key := request.keys.get(part)) in claims]
        if vain:
            self._background.order(lambda: self._committer.release(vain))
