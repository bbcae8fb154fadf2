"""Where messages come from: the protocol that Kafka and archives both speak to the engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from fulgor.consumer.messages import Partition

__all__ = ["Listener", "Polled", "Source"]


class Polled(NamedTuple):
    """A message as the source gives it, or an end-of-partition mark (`is_mark`, `offset` is the end).

    `cause` says why offsets before this one hold no message, should there be any.
    """

    partition: Partition
    offset: int
    value: bytes | None = None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int | None = None
    is_mark: bool = False
    cause: str = "unknown"


class Listener(Protocol):
    """Who is told, on the polling thread, what may be consumed."""

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Take note of partitions that are ours now; `Source.assign` may be called for them later."""
        ...

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Finish partitions that are wanted back, within a bound, and call `Source.unassign`."""
        ...

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Drop the work of partitions that are somebody else's already, and call `Source.unassign`."""
        ...


class Source(Protocol):
    """Partitions of messages with offsets. Every call is made on one thread."""

    @property
    def cluster(self) -> str:
        """Id of the broker's cluster, ``archive`` for files."""
        ...

    def topic_id(self, topic: str) -> str:
        """Return the broker's id of a topic, '' where it gives none."""
        ...

    def partitions(self) -> Mapping[str, int]:
        """Return the topics asked for that exist now, with their numbers of partitions."""
        ...

    def subscribe(self, listener: Listener) -> None:
        """Begin; the listener is called from within `poll` and `close`."""
        ...

    def is_member(self) -> bool:
        """Tell, without waiting, whether the group counts us, be it that it gives us nothing and tells us nothing."""
        ...

    def poll(self, timeout_s: float) -> Sequence[Polled]:
        """Return what has arrived, waiting at most `timeout_s` for the first."""
        ...

    def start_offset(self, partition: Partition, start: str) -> int:
        """Return the offset that ``earliest``, ``latest`` or an ISO time stands for."""
        ...

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """Begin to deliver these partitions from these offsets, whether they were paused before or not.

        Raises
        ------
        BrokerError
            They cannot be read now: the group is taking them away.
        """
        ...

    def unassign(self, partitions: Collection[Partition]) -> None:
        """Stop delivering these partitions."""
        ...

    def pause(self, partitions: Collection[Partition]) -> None:
        """Deliver nothing of these for now; heartbeats go on."""
        ...

    def resume(self, partitions: Collection[Partition]) -> None:
        """Deliver again."""
        ...

    def report(self, offsets: Mapping[Partition, int]) -> None:
        """Tell the broker the next offsets, for lag tools only: nothing starts from them."""
        ...

    def end_offset(self, partition: Partition) -> int | None:
        """Return the partition's end as last seen, without asking the broker; None if unknown."""
        ...

    def close(self) -> None:
        """Leave the group in good order."""
        ...
