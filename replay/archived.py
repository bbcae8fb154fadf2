"""What every archive gives: messages, in an order that stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from fulgor.errors import ArchiveError
from fulgor.replay.alerttime import alert_time_ms

__all__ = [
    "RECORDING",
    "TIME_HEADER",
    "Archive",
    "ArchiveIdentity",
    "ArchivedMessage",
    "is_recording",
    "require_recording",
    "require_whole",
]

RECORDING: Final = "recording.json"
"""The file that makes a folder a recording."""

TIME_HEADER: Final = "fulgor-time-ms"
"""The header that keeps a message's original time through any number of replays: Unix ms as decimal text."""


@dataclass(frozen=True, slots=True)
class ArchivedMessage:
    """One message of an archive.

    Parameters
    ----------
    value : bytes
        The message as it lies in the archive; empty for a tombstone.
    name : str
        Path within the archive; a block of a split container adds ``#`` and the block's number. Of a recorded
        message its topic, partition and offset.
    index : int
        Place in the archive, from 0; stable as long as the archive's identity is.
    key : bytes or None
        The key that it had, or shall have.
    headers : tuple of (str, bytes or None)
        The headers that it had.
    timestamp_ms : int or None
        The Kafka timestamp that it had.
    partition : int or None
        The partition that it came from.
    is_tombstone : bool
        Whether it had no value at all.
    """

    value: bytes
    name: str
    index: int
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int | None = None
    partition: int | None = None
    is_tombstone: bool = False

    @property
    def time_ms(self) -> int | None:
        """The original time in Unix ms.

        What the time header says, else the Kafka timestamp, else the first alert's own time, decoded when asked
        for; None where it cannot be had.
        """
        for name, value in self.headers:
            if name == TIME_HEADER and value is not None and value.isdigit() and len(value) < 16:
                return int(value)
        return self.timestamp_ms if self.timestamp_ms is not None else alert_time_ms(self.value)


class ArchiveIdentity(NamedTuple):
    """What tells archives apart in the ledger.

    Parameters
    ----------
    path : str
        Absolute path.
    content : str
        32 hex digits: for a folder and a recording over the sorted names and sizes, for one file over its size and
        both its ends, and over whether and where containers are split, which moves the indices.
    """

    path: str
    content: str


class Archive(Protocol):
    """An opened archive; iterate it, as often as wanted, for its messages.

    Attributes
    ----------
    path : Path
        Where it lies.
    others : Counter of str
        What is no message, by kind, as far as the last iteration has come.
    problems : list of str
        What should be messages and cannot, each with the reason; each keeps an index where it can be counted.
    next_index : int
        The index after what the last iteration has come to.
    """

    path: Path
    others: Counter[str]
    problems: list[str]
    next_index: int

    @property
    def identity(self) -> ArchiveIdentity:
        """Stable name and content identity, for ledger keys."""
        ...

    @property
    def count(self) -> int | None:
        """Number of messages where it is known without reading."""
        ...

    @property
    def topics(self) -> frozenset[str]:
        """Topics that it was recorded from; none for files."""
        ...

    @property
    def largest(self) -> tuple[str, int] | None:
        """Name and bytes of the largest message where known without reading."""
        ...

    @property
    def size(self) -> int:
        """Bytes on disk."""
        ...

    @property
    def position(self) -> int:
        """Bytes on disk that the last iteration has passed, for a progress bar."""
        ...

    def __iter__(self) -> Iterator[ArchivedMessage]: ...

    def messages(self, start: int = 0) -> Iterator[ArchivedMessage]:
        """Yield the messages from index ``start`` on.

        Raises
        ------
        ArchiveError
            Something cannot be read, or the archive holds no message at all.
        """
        ...


def is_recording(path: Path) -> bool:
    """Say whether a folder holds what ``fulgor replay record`` wrote."""
    return (path / RECORDING).is_file()


def require_recording(path: Path) -> None:
    """Refuse what ``fulgor replay record`` did not write.

    Raises
    ------
    ArchiveError
        It is no recording.
    """
    if not is_recording(path):
        raise ArchiveError(f"{path}: not a recording: there is no {RECORDING}")


def require_whole(problems: Sequence[str]) -> None:
    """Refuse what could be read in part only.

    Parameters
    ----------
    problems : sequence of str
        What could not be read, such as :attr:`Archive.problems` after an iteration; empty if nothing.

    Raises
    ------
    ArchiveError
        There are problems; all of them are named.
    """
    if problems:
        raise ArchiveError("; ".join(problems))
