"""Which partitions this member holds, under which epochs, and where they begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from fulgor.consumer.committer import Committer
from fulgor.consumer.messages import Assignment, Partition
from fulgor.consumer.poison import alone_until
from fulgor.consumer.source import Source
from fulgor.storage.feeds import Claim, FeedKey

__all__ = ["Ask", "Assignments"]

T = TypeVar("T")


class Ask(Protocol):
    """Runs a command on the writer thread and returns its answer."""

    def __call__(self, command: Callable[[], T], /) -> T:
        """Run `command` there."""
        ...


class Assignments:
    """The held partitions.

    Parameters
    ----------
    source : Source
        Asked where a partition without a stored offset begins.
    committer : Committer
        Asked for claims.
    group : str
        Consumer group.
    start : str
        ``earliest``, ``latest`` or an ISO time: for partitions that were there at the group's first start.
    first : mapping of str to int
        The topics of that first start with their numbers of partitions.
    """

    def __init__(
        self, source: Source, committer: Committer, group: str, *, start: str, first: Mapping[str, int]
    ) -> None:
        self._source = source
        self._committer = committer
        self._group = group
        self._start = start
        self._first = first
        self._held: dict[Partition, Assignment] = {}
        self._stored: dict[Partition, int] = {}

    def claim(self, partitions: Sequence[Partition], ask: Ask) -> list[Assignment]:
        """Raise the partitions' epochs and find where each goes on."""
        keys = self._keys(partitions)
        claims = ask(lambda: self._committer.claim(keys))
        held, starts = self._begin(partitions, claims)
        if starts:
            ask(lambda: self._committer.open_segments(starts))
        return held

    def _begin(
        self, partitions: Sequence[Partition], claims: Sequence[Claim]
    ) -> tuple[list[Assignment], list[tuple[Claim, int, str]]]:
        starts: list[tuple[Claim, int, str]] = []
        held = []
        for partition, claimed in zip(partitions, claims, strict=True):
            offset = claimed.next_offset
            if offset is None:
                start = self._start if partition.number < self._first.get(partition.topic, 0) else "earliest"
                offset = self._source.start_offset(partition, start)
                starts.append((claimed, offset, start))
            held.append(
                Assignment(
                    partition, claimed.feed_id, claimed.epoch, claimed.segment, offset,
                    skips=claimed.skips, alone_until=alone_until(claimed),
                )
            )  # fmt: skip
        return held, starts

    def _keys(self, partitions: Iterable[Partition]) -> list[FeedKey]:
        partitions = list(partitions)
        topics = {topic: self._source.topic_id(topic) for topic in {partition.topic for partition in partitions}}
        return [
            FeedKey(self._group, self._source.cluster, partition.topic, topics[partition.topic], partition.number)
            for partition in partitions
        ]

    def others_ends(self) -> dict[Partition, int]:
        """Return where the partitions end now that are not held."""
        counts = self._source.partitions()
        there = (Partition(topic, number) for topic, count in counts.items() for number in range(count))
        return {
            partition: self._source.start_offset(partition, "latest") for partition in there if not self.get(partition)
        }

    def is_stored(self, ends: Mapping[Partition, int], ask: Ask) -> bool:
        """Tell whether partitions, whoever holds them, are stored up to these offsets."""
        keys = self._keys(ends)
        stored = ask(lambda: self._committer.stored(keys)) if keys else {}
        return all(stored.get(key, 0) >= end for key, end in zip(keys, ends.values(), strict=True))

    def others_work(self, ask: Ask) -> bool:
        """Tell whether a partition is in the hands of another member, or of a dead one that the group still counts."""
        partitions = self._source.partitions()
        return ask(lambda: self._committer.unreleased(self._group, self._source.cluster, partitions)) > 0

    def add(self, assignments: Iterable[Assignment]) -> None:
        """Hold these."""
        for assignment in assignments:
            self._held[assignment.partition] = assignment
            self._stored[assignment.partition] = assignment.expected

    def remove(self, partitions: Iterable[Partition]) -> None:
        """Hold these no longer."""
        for partition in partitions:
            self._held.pop(partition, None)
            self._stored.pop(partition, None)

    def get(self, partition: Partition) -> Assignment | None:
        """Return the assignment of a partition, None if it is not held."""
        return self._held.get(partition)

    def of(self, partitions: Iterable[Partition]) -> list[Assignment]:
        """Return the assignments of those of these partitions that are held."""
        return [self._held[partition] for partition in partitions if partition in self._held]

    def all(self) -> list[Assignment]:
        """Return every held assignment."""
        return list(self._held.values())

    def partitions(self) -> list[Partition]:
        """Return every held partition."""
        return list(self._held)

    def note_stored(self, offsets: Mapping[Partition, int]) -> None:
        """Remember how far the database is."""
        self._stored.update(offsets)

    def stored(self, partition: Partition) -> int:
        """Return the next offset of a held partition as the database has it."""
        return self._stored[partition]
