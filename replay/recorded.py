"""A recording read as an archive: the messages in the order in which they came to the broker.

The order depends on what was recorded alone, not on which recorder wrote what: each partition's offsets
ascend, and partitions are merged by their Kafka timestamps.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fulgor.errors import ArchiveError
from fulgor.replay.archived import ArchivedMessage, ArchiveIdentity
from fulgor.replay.files import read_errors
from fulgor.replay.record.folder import read_marker
from fulgor.replay.record.groups import RowGroups
from fulgor.replay.record.layout import PART, FileFacts, message_files, open_parquet, read_facts

__all__ = ["RecordedArchive"]


class RecordedArchive:
    """A recording; iterate it, as often as wanted, for its messages.

    Parameters
    ----------
    path : Path
        The folder.

    Attributes
    ----------
    cluster : str
        Id of the broker's cluster.
    others : Counter of str
        What is no message, by kind.
    problems : list of str
        Files that are cut or damaged, each with the reason. A message lost to damage that is found while reading
        keeps its index.
    next_index : int
        The index after what the last iteration has come to.

    Raises
    ------
    ArchiveError
        It is of a later form.
    """

    def __init__(self, path: Path) -> None:
        self.cluster = read_marker(path).cluster
        self.path = path
        self.others: Counter[str] = Counter()
        self.problems: list[str] = []
        self.next_index = 0
        self._cut: list[str] = []
        self._files: list[Path] = []
        self._sizes: list[int] = []
        self._largest = 0
        self._places = self._arrange()
        self.size = sum(self._sizes)
        self._groups = RowGroups(self._files)

    def _coordinates(self) -> Iterator[NDArray[np.void]]:
        """Yield the places of each file's messages; a file that cannot be read is a problem."""
        for file in message_files(self.path):
            try:
                facts = read_facts(file)
                with read_errors(file):
                    size = file.stat().st_size
                yield _coordinates(file, facts, len(self._files))
            except ArchiveError as error:
                self._cut.append(str(error))
            else:
                self._largest = max(self._largest, facts.largest)
                self._files.append(file)
                self._sizes.append(size)

    @property
    def identity(self) -> ArchiveIdentity:
        """Stable name and content identity, for ledger keys: it changes when files come or go."""
        digest = hashlib.sha256()
        for file, size in zip(self._files, self._sizes, strict=True):
            digest.update(f"{file.relative_to(self.path).as_posix()}\0{size}\0".encode())
        return ArchiveIdentity(str(self.path.resolve()), digest.hexdigest()[:32])

    @property
    def count(self) -> int:
        """Number of messages."""
        return len(self._places)

    @property
    def topics(self) -> frozenset[str]:
        """Topics that it was recorded from."""
        return frozenset(file.parent.name for file in self._files)

    @property
    def largest(self) -> tuple[str, int] | None:
        """What to call the largest message, and its bytes."""
        return ("the largest message", self._largest) if self.count else None

    @property
    def position(self) -> int:
        """Bytes on disk that the last iteration has passed, as far as a share of the messages tells."""
        return self.size * self.next_index // max(self.count, 1)

    def __iter__(self) -> Iterator[ArchivedMessage]:
        return self.messages()

    def messages(self, start: int = 0) -> Iterator[ArchivedMessage]:
        """Yield the messages from index ``start`` on.

        Raises
        ------
        ArchiveError
            There are none at all.
        """
        self.others = Counter({"unfinished file": count} if (count := self._unfinished()) else {})
        self.problems = list(self._cut)
        if not self.count:
            raise ArchiveError(f"{self.path}: holds no messages{''.join(f'; {problem}' for problem in self.problems)}")
        for index in range(start, self.count):
            self.next_index = index + 1
            row = self._row(index)
            if row is not None:
                yield _message(row, index)
        self.next_index = self.count

    def find(self, topic: str, topic_id: str, partition: int, offset: int) -> ArchivedMessage | None:
        """Return the message that had these coordinates in the recorded topic; None if it is not here."""
        places = self._places
        hits = (places["source"] == _incarnation(topic, topic_id)) & (places["partition"] == partition)
        for index in np.flatnonzero(hits & (places["offset"] == offset)).tolist():
            row = self._row(index)
            return None if row is None else _message(row, index)
        return None

    def _unfinished(self) -> int:
        return len(list((self.path / "messages").glob(f"*/*{PART}")))

    def _arrange(self) -> NDArray[np.void]:
        """Return the places of all messages in the order of reading."""
        places = np.concatenate([np.empty(0, _PLACE), *self._coordinates()])
        places = places[np.lexsort((places["offset"], places["partition"], places["source"]))]
        return places[np.argsort(_running_maximum(places), kind="stable")]

    def _row(self, index: int) -> dict[str, Any] | None:
        place = self._places[index]
        try:
            return self._groups.row(int(place["file"]), int(place["row"]))
        except ArchiveError as error:
            if str(error) not in self.problems:
                self.problems.append(str(error))
            return None


_PLACE: Final = np.dtype(
    [("source", "i8"), ("partition", "i4"), ("offset", "i8"), ("time", "i8"), ("file", "i4"), ("row", "i8")]
)


def _coordinates(file: Path, facts: FileFacts, number: int) -> NDArray[np.void]:
    try:
        with open_parquet(file) as opened:
            table = opened.read(["partition", "offset", "timestamp"], use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise ArchiveError(f"{file}: damaged: {error}") from error
    found = np.empty(table.num_rows, _PLACE)
    found["source"] = _incarnation(facts.topic, facts.topic_id)
    found["partition"] = table["partition"].to_numpy()
    found["offset"] = table["offset"].to_numpy()
    found["time"] = table["timestamp"].cast(pa.int64()).fill_null(0).to_numpy()
    found["file"], found["row"] = number, np.arange(table.num_rows)
    return found


def _incarnation(topic: str, topic_id: str) -> int:
    """Return a number that tells topics, and a topic made anew, apart."""
    digest = hashlib.blake2b(f"{topic}\0{topic_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _running_maximum(places: NDArray[np.void]) -> NDArray[np.int64]:
    """Return for each message the latest time in its partition up to it, so that sorting by it keeps the offsets."""
    times = places["time"].copy()
    starts = np.flatnonzero(
        np.r_[True, np.diff(places["source"]).astype(bool) | np.diff(places["partition"]).astype(bool)][: len(times)]
    )
    for first, after in pairwise([*starts.tolist(), len(times)]):
        np.maximum.accumulate(times[first:after], out=times[first:after])
    return np.asarray(times, np.int64)


def _message(row: dict[str, Any], index: int) -> ArchivedMessage:
    return ArchivedMessage(
        value=row["value"] or b"",
        name=f"{row['topic']}[{row['partition']}]@{row['offset']}",
        index=index,
        key=row["key"],
        headers=tuple((header["name"], header["value"]) for header in row["headers"]),
        timestamp_ms=row["timestamp"],
        partition=row["partition"],
        is_tombstone=row["value"] is None,
    )
