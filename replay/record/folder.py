"""A recording as a folder: what it covers, who is at work in it, what a crash has left."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import NamedTuple
from urllib.parse import quote

from fulgor.consumer.messages import Partition
from fulgor.errors import ArchiveError
from fulgor.replay.archived import RECORDING, is_recording
from fulgor.replay.record.coverage import Ranges
from fulgor.replay.record.disk import disk_errors, write_whole
from fulgor.replay.record.identify import Identify
from fulgor.replay.record.index import rebuild_index
from fulgor.replay.record.layout import FORMAT, PART, index_path, message_files, read_facts

__all__ = ["Marker", "PartitionLock", "RecordingFolder", "read_marker"]

log = logging.getLogger(__name__)


class Marker(NamedTuple):
    """What ``recording.json`` says: the cluster's id, and the consumer group of the folder's recorders."""

    cluster: str
    group: str


def read_marker(path: Path) -> Marker:
    """Return what ``recording.json`` says.

    Raises
    ------
    ArchiveError
        It cannot be read, or is of a later form.
    """
    try:
        found = json.loads((path / RECORDING).read_text())
        version, marker = found["format"], Marker(str(found["cluster"]), str(found["group"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{path / RECORDING}: cannot be read: {error}") from error
    if version != FORMAT:
        raise ArchiveError(f"{path}: a recording of form {version}, this program reads {FORMAT}: take a newer one")
    return marker


def new_group() -> str:
    """Return the name of a consumer group that nobody else has: two recordings of a topic must not share it."""
    return f"fulgor-record-{uuid.uuid4().hex[:8]}"


class PartitionLock:
    """The right to write a partition's offsets, held by one process at a time and given up by its death.

    A recorder that lost the partition without knowing it, stopped or cut off, still holds this lock; its
    successor waits, so no offset is ever written twice.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    def take(self) -> bool:
        """Take the lock if nobody has it."""
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self, *, ended: bool = False) -> None:
        """Give the lock up, leaving word if the partition was read to its end."""
        if ended:
            os.pwrite(self._handle, f"{time():.3f}\n".encode(), 0)
        os.close(self._handle)

    def ended_since(self, moment: float) -> bool:
        """Say whether somebody has read the partition to its end since a time, Unix s."""
        text = os.pread(self._handle, 32, 0)
        return bool(text) and float(text) >= moment


class RecordingFolder:
    """Where recorders write.

    Parameters
    ----------
    path : Path
        The folder; made if it is absent.
    cluster : str
        Id of the broker's cluster.

    Raises
    ------
    ArchiveError
        The folder holds something else, or was recorded from another cluster.
    """

    def __init__(self, path: Path, cluster: str) -> None:
        self.path = path.absolute()
        self._cluster = cluster
        self.recorder = uuid.uuid4().hex[:8]
        self._number = 0
        if not is_recording(path):
            self._make()
        self.marker = read_marker(path)
        if self.marker.cluster != cluster:
            raise ArchiveError(
                f"{path}: recorded from cluster {self.marker.cluster!r}, the broker is of {cluster!r}: offsets of"
                " different clusters cannot be told apart; record into another folder"
            )

    def _make(self) -> None:
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            other = any(not entry.name.startswith(RECORDING) for entry in self.path.iterdir())
            if other and not is_recording(self.path):  # they are another recorder's, faster by a moment, if it is one
                raise ArchiveError(f"{self.path}: holds other files and no recording; name a new or empty folder")
            text = json.dumps({"format": FORMAT, "cluster": self._cluster, "group": new_group()}, indent=2) + "\n"
            part = self.path / f"{RECORDING}.{self.recorder}"
            write_whole(part, text.encode())
            try:
                os.link(part, self.path / RECORDING)  # unlike a renaming, fails where another recorder was faster
            except FileExistsError:
                log.info("%s: made by another recorder this moment", self.path)
            finally:
                part.unlink()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Keep a lock that tells others that this recorder's unfinished files are no leftovers."""
        lock = self.path / "locks" / f"{self.recorder}.recorder"
        held = PartitionLock(lock)
        held.take()
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            held.release()

    def clean(self, identify: Identify) -> tuple[list[Path], list[Path]]:
        """Remove unfinished files of recorders that are dead, and make missing indexes.

        Returns
        -------
        removed, indexed : list of Path
            What was an unfinished file; whose index was made anew.
        """
        removed = [part for part in self.unfinished() if not self._is_alive(part)]
        for part in removed:
            part.unlink(missing_ok=True)
        indexed = [file for file in message_files(self.path) if not index_path(self.path, file).exists()]
        for file in indexed:
            rebuild_index(self.path, file, identify)
        return removed, indexed

    def unfinished(self) -> list[Path]:
        """Return files that are being written, or were when their recorder died."""
        return sorted((self.path / "messages").glob(f"*/*{PART}"))

    def _is_alive(self, part: Path) -> bool:
        lock = self.path / "locks" / f"{part.name.split('.')[1]}.recorder"
        if not lock.exists():
            return False
        probe = PartitionLock(lock)
        alive = not probe.take()
        probe.release()
        return alive

    def new_name(self, topic: str, night: str) -> str:
        """Return a path below ``messages`` that no other file has."""
        self._number += 1
        return f"{topic}/{night}.{self.recorder}.{self._number:05d}"

    def lock(self, partition: Partition, topic_id: str) -> PartitionLock:
        """Return the lock of a partition, not taken yet."""
        incarnation = f".{quote(topic_id, safe='')}" if topic_id else ""
        return PartitionLock(self.path / "locks" / f"{partition.topic}{incarnation}.{partition.number}.partition")

    def coverage(self, topic: str, topic_id: str) -> dict[int, Ranges]:
        """Return the offsets that whole files deal with, by partition.

        Raises
        ------
        ArchiveError
            A file is cut or damaged: what it held would be recorded again, so it has to go first.
        """
        found: dict[int, Ranges] = defaultdict(Ranges)
        for file in message_files(self.path):
            if file.parent.name != topic:
                continue
            try:
                facts = read_facts(file)
            except ArchiveError as error:
                raise ArchiveError(f"{error}; move it away, and its messages are recorded again") from error
            if facts.topic_id == topic_id:
                for number, ranges in facts.covered.items():
                    for first, after in ranges:
                        found[int(number)].add(first, after)
        return found
