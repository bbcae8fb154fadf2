"""Alerts at rest, read as the messages that they were or will be.

One file is one message, its bytes unchanged, whether it lies in a folder, in a nightly tarball (read
as a stream, in its own order, never unpacked to disk) or alone. Only a container that is larger than
a message may be, or whose split is asked for, comes as several: each of its blocks behind a copy of
its header, undecoded. What ``fulgor replay record`` wrote is opened here too; it is read in
:mod:`fulgor.replay.recorded`.

Nothing is left out in silence: what is no message is counted by kind in :attr:`FileArchive.others`, what
should be one and cannot (too large and damaged) is named in :attr:`FileArchive.problems`, and a tarball
that is cut or damaged is an :class:`~fulgor.errors.ArchiveError` raised after its last whole member.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fulgor.errors import ArchiveError, MalformedError, SettingsError
from fulgor.preprocessing.container import split_blocks
from fulgor.preprocessing.limits import MESSAGE_MAX_BYTES
from fulgor.replay.archived import Archive, ArchivedMessage, ArchiveIdentity, is_recording
from fulgor.replay.files import Entry, Other, Reader, open_reader

__all__ = ["Archive", "ArchiveIdentity", "ArchivedMessage", "FileArchive", "open_archive"]

KINDS_MAX: Final = 64


class FileArchive:
    """An opened archive; iterate it, as often as wanted, for its messages.

    Parameters
    ----------
    path : Path
        Where it lies.
    reader : Reader
        Its form.
    split : bool
        Whether each block of a container is a message of its own, however small the container.
    limit : int
        Largest message in bytes.

    Attributes
    ----------
    others : Counter of str
        What is no message, by kind, as far as the last iteration has come.
    problems : list of str
        Files that should be messages and cannot, each with the reason; each keeps an index.
    next_index : int
        The index after what the last iteration has come to.
    """

    def __init__(self, path: Path, reader: Reader, *, split: bool, limit: int) -> None:
        self.path = path
        self.others: Counter[str] = Counter()
        self.problems: list[str] = []
        self.next_index = 0
        self._reader = reader
        self._split = split
        self._limit = limit

    @property
    def identity(self) -> ArchiveIdentity:
        """Stable name and content identity, for ledger keys."""
        digest = hashlib.sha256(self._reader.fingerprint())
        digest.update(f"split={self._split} limit={self._limit}".encode())
        return ArchiveIdentity(str(self.path.resolve()), digest.hexdigest()[:32])

    @property
    def count(self) -> int | None:
        """Number of messages where it is known without reading; None for tarballs and split containers."""
        listing = self._reader.listing
        if listing is None or self._split or any(entry.size > self._limit for entry in listing):
            return None
        return len(listing)

    @property
    def topics(self) -> frozenset[str]:
        """Nothing: where files were recorded from is not known."""
        return frozenset()

    @property
    def largest(self) -> tuple[str, int] | None:
        """Name and bytes of the largest whole message where known without reading."""
        whole = [entry for entry in self._reader.listing or [] if not self._split and entry.size <= self._limit]
        if not whole:
            return None
        entry = max(whole, key=lambda entry: entry.size)
        return entry.name, entry.size

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self._reader.size

    @property
    def position(self) -> int:
        """Bytes on disk that the last iteration has passed, for a progress bar."""
        return self._reader.position

    def __iter__(self) -> Iterator[ArchivedMessage]:
        return self.messages()

    def messages(self, start: int = 0) -> Iterator[ArchivedMessage]:
        """Yield the messages from index ``start`` on.

        Files before ``start`` are not read, unless they split.

        Raises
        ------
        ArchiveError
            A file cannot be read, a tarball is cut or damaged (after its last whole member), or the
            archive holds no message at all.
        """
        self.others.clear()
        self.problems.clear()
        self.next_index = 0
        for entry in self._reader.entries():
            if isinstance(entry, Other):
                self._count(entry)
                continue
            for name, value in self._values(entry, start):
                self.next_index += 1
                if value is not None and self.next_index > start:
                    yield ArchivedMessage(value, name, self.next_index - 1, key=name.encode())
        if self.next_index == 0:
            raise ArchiveError(f"{self.path}: holds no alerts{self._instead()}")

    def _count(self, other: Other) -> None:
        known = other.kind in self.others or len(self.others) < KINDS_MAX
        self.others[other.kind if known else "other file"] += 1

    def _whole(self, entry: Entry) -> bytes:
        try:
            with entry.open() as file:
                value = file.read(entry.size + 1)
        except OSError as error:
            raise ArchiveError(f"{self.path}: {entry.name}: cannot be read: {error.strerror}") from error
        if len(value) != entry.size:
            raise ArchiveError(f"{self.path}: {entry.name}: changed while the archive was read")
        return value

    def _values(self, entry: Entry, start: int) -> Iterator[tuple[str, bytes | None]]:
        """Yield the messages of a file; None stands for one that is not wanted, or cannot be one."""
        if entry.size > self._limit:
            yield from self._split_large(entry)
        elif self._split:
            yield from self._split_small(entry)
        else:
            yield entry.name, self._whole(entry) if self.next_index >= start else None

    def _split_small(self, entry: Entry) -> Iterator[tuple[str, bytes | None]]:
        """Split what fits a message; where it does not split cleanly it is one, for the consumer to judge."""
        value = self._whole(entry)
        try:
            blocks = list(split_blocks(value))
        except MalformedError:
            blocks = []
        if not blocks:
            yield entry.name, value
        yield from ((f"{entry.name}#{number}", block) for number, block in enumerate(blocks))

    def _split_large(self, entry: Entry) -> Iterator[tuple[str, bytes | None]]:
        try:
            with entry.open() as file:
                for number, block in enumerate(split_blocks(file)):
                    if len(block) > self._limit:
                        raise MalformedError(f"block {number} alone has {len(block)} bytes", stage="container")
                    yield f"{entry.name}#{number}", block
        except OSError as error:
            raise ArchiveError(f"{self.path}: {entry.name}: cannot be read: {error.strerror}") from error
        except MalformedError as error:
            self.problems.append(
                f"{entry.name}: {entry.size} bytes are more than a message may have ({self._limit}), "
                f"and splitting it into blocks fails: {error.reason}"
            )
            yield entry.name, None

    def _instead(self) -> str:
        listed = [f"{count} x {kind}" for kind, count in sorted(self.others.items())] + self.problems
        return f", only: {'; '.join(listed)}" if listed else ""


def open_archive(path: str | Path, *, split: bool = False, limit: int = MESSAGE_MAX_BYTES) -> Archive:
    """Open a recording, a container file, a folder of them (read through, sorted), a ``.tar`` or ``.tar.gz``.

    Parameters
    ----------
    path : str or Path
        Where it lies; its form is told by its content.
    split : bool
        Make each block of a container a message of its own.
    limit : int
        Largest message in bytes; larger containers split in any case.

    Returns
    -------
    Archive
        Iterate it for its messages.

    Raises
    ------
    ArchiveError
        There is nothing at ``path``, it cannot be read, or it is none of these.
    SettingsError
        A recording shall be split.
    """
    if is_recording(Path(path)):
        if split:
            raise SettingsError(f"--split: {path} is a recording, whose messages are what they were; leave it out")
        from fulgor.replay.recorded import RecordedArchive  # pyarrow only where it is needed

        return RecordedArchive(Path(path))
    return FileArchive(Path(path), open_reader(Path(path)), split=split, limit=limit)
