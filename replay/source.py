"""An archive as a source of messages: the consumer's whole pipeline without a broker.

The archive is one partition, a message's offset its index; the ledger tells archives apart by path
and content. A cut or damaged tarball ends like any other, so that what came before is committed;
the error is kept for :meth:`ArchiveSource.raise_failure`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from fulgor.consumer.messages import Partition
from fulgor.consumer.source import Listener, Polled
from fulgor.errors import ArchiveError, SettingsError
from fulgor.replay.archive import Archive, ArchivedMessage, open_archive
from fulgor.replay.archived import require_whole

__all__ = ["ArchiveSource"]

MESSAGES_A_POLL: Final = 64
BYTES_A_POLL: Final = 4 << 20


class ArchiveSource:
    """Gives the messages of an archive; see :class:`fulgor.consumer.source.Source`.

    Parameters
    ----------
    archive : Archive or Path
        What to read.

    Raises
    ------
    ArchiveError
        There is nothing at the path, or it is no archive.
    """

    def __init__(self, archive: Archive | Path) -> None:
        self._archive = open_archive(archive) if isinstance(archive, Path) else archive
        path, self._content = self._archive.identity
        self._partition = Partition(path, 0)
        self._messages: Iterator[ArchivedMessage] | None = None
        self._unannounced: Listener | None = None
        self._paused = False
        self._failure: ArchiveError | None = None

    @property
    def cluster(self) -> str:
        """Return ``archive``."""
        return "archive"

    def topic_id(self, topic: str) -> str:  # noqa: ARG002
        """Return the archive's content identity."""
        return self._content

    def partitions(self) -> Mapping[str, int]:
        """Return the archive's path with its one partition."""
        return {self._partition.topic: 1}

    def subscribe(self, listener: Listener) -> None:
        """Assign the archive with the first poll."""
        self._unannounced = listener

    def is_member(self) -> bool:
        """Return whether anybody has subscribed: there is no group that could say otherwise."""
        return self._unannounced is not None or self._messages is not None

    def poll(self, timeout_s: float) -> Sequence[Polled]:
        """Return the next messages; after the last one an end mark, then nothing."""
        if self._unannounced is not None:
            listener, self._unannounced = self._unannounced, None
            listener.assigned([self._partition])
        if self._messages is None or self._paused:
            time.sleep(timeout_s)
            return []
        return list(self._read(self._messages))

    def _read(self, messages: Iterator[ArchivedMessage]) -> Iterator[Polled]:
        size = 0
        for _ in range(MESSAGES_A_POLL):
            try:
                message = next(messages, None)
            except ArchiveError as error:
                self._failure = error
                message = None
            if message is None:
                self._messages = None
                yield Polled(self._partition, self._archive.next_index, is_mark=True)
                return
            value = None if message.is_tombstone else message.value
            yield Polled(self._partition, message.index, value, message.key, message.headers)
            size += len(message.value)
            if size >= BYTES_A_POLL:
                return

    def start_offset(self, partition: Partition, start: str) -> int:  # noqa: ARG002
        """Return 0.

        Raises
        ------
        SettingsError
            Something else than the beginning is asked for.
        """
        if start != "earliest":
            raise SettingsError(f"--from {start}: an archive is read from its beginning or from where it was left")
        return 0

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """Read from an index on."""
        self._failure, self._paused = None, False
        self._messages = self._archive.messages(offsets[self._partition])

    def unassign(self, partitions: Collection[Partition]) -> None:
        """Stop reading."""
        if self._partition in partitions:
            self._messages = None

    def pause(self, partitions: Collection[Partition]) -> None:
        """Read nothing for now."""
        self._paused = self._paused or self._partition in partitions

    def resume(self, partitions: Collection[Partition]) -> None:
        """Read again."""
        self._paused = self._paused and self._partition not in partitions

    def report(self, offsets: Mapping[Partition, int]) -> None:
        """Do nothing: there is nobody to tell."""

    def end_offset(self, partition: Partition) -> int | None:  # noqa: ARG002
        """Return the number of messages where it is known without reading through."""
        return self._archive.count

    def close(self) -> None:
        """Stop reading."""
        self._messages = None

    def raise_failure(self) -> None:
        """Raise what ended the reading early; to be called when all that was read is committed.

        Raises
        ------
        ArchiveError
            The archive is cut, damaged or empty, or files in it can be no messages.
        """
        if self._failure is not None:
            raise self._failure
        require_whole(self._archive.problems)
