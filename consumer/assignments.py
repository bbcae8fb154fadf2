"""Which partitions this member holds, under which epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fulgor.consumer.messages import Assignment, Partition

__all__ = ["Assignments"]


class Assignments:
    """The held partitions: claimed, and read from their offsets on."""

    def __init__(self) -> None:
        self._held: dict[Partition, Assignment] = {}
        self._stored: dict[Partition, int] = {}

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

    def note_stored(self, offsets: Mapping[Partition, int]) -> dict[Partition, int]:
        """Remember how far the database is; return what of it concerns held partitions."""
        mine = {partition: offset for partition, offset in offsets.items() if partition in self._held}
        self._stored.update(mine)
        return mine

    def stored(self, partition: Partition) -> int:
        """Return the next offset of a held partition as the database has it."""
        return self._stored[partition]
