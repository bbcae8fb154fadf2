"""A topic into a recording: one member of a group, each message into exactly one file.

A message counts as recorded when the file that holds it is whole, and that file's own footer says which
offsets it deals with. So there is nothing to bring into step: whatever ends the process, the next one
reads the footers and goes on at the first offset that none of them has.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from time import monotonic, time
from typing import Final

from fulgor.consumer.messages import Partition, appended_at
from fulgor.consumer.source import Polled, Source
from fulgor.errors import ArchiveError, BrokerError, TopicError
from fulgor.replay.record.coverage import Ranges
from fulgor.replay.record.file import MessageFile
from fulgor.replay.record.folder import PartitionLock, RecordingFolder
from fulgor.replay.record.identify import Identify
from fulgor.replay.record.layout import FileFacts
from fulgor.replay.record.report import RecordOptions, RecordReport

__all__ = ["Recorder"]

log = logging.getLogger(__name__)

POLL_S: Final = 0.2
OPEN_FILES: Final = 8
ASK_S: Final = 1.0
EXPIRED: Final = "expired"


@dataclass(slots=True)
class _Held:
    """A partition that is ours: its lock, what files cover, the next offset to come."""

    lock: PartitionLock
    topic_id: str
    covered: Ranges
    position: int
    ended: bool = False


class Recorder:
    """Records what a source delivers; see :class:`fulgor.consumer.source.Listener`.

    Parameters
    ----------
    source : Source
        A member of a consumer group.
    folder : RecordingFolder
        Where to.
    identify : callable
        Finds the alerts of a message, for the index.
    options : RecordOptions
        How.
    """

    def __init__(self, source: Source, folder: RecordingFolder, identify: Identify, options: RecordOptions) -> None:
        self.report = RecordReport()
        self._source = source
        self._folder = folder
        self._identify = identify
        self._options = options
        self._held: dict[Partition, _Held] = {}
        self._waiting: dict[Partition, PartitionLock] = {}
        self._told: set[Partition] = set()
        self._assigned: list[Partition] = []
        self._files: OrderedDict[tuple[str, str, str], MessageFile] = OrderedDict()
        self._topic_ids: dict[str, str] = {}
        self._began: float | None = None
        self._asked = monotonic()
        self._started = time()

    def run(self, stopping: Event, on_progress: Callable[[RecordReport, int], None] | None = None) -> RecordReport:
        """Record until told to stop, or to the end.

        Parameters
        ----------
        stopping : Event
            Set to stop in good order.
        on_progress : callable, optional
            Called with the report so far and the number of messages in unfinished files.

        Raises
        ------
        DiskFullError
            No space left; whole files stay, the unfinished are removed.
        BrokerError
            The broker refuses us.
        ArchiveError
            The topic was deleted and made anew, or a file of the recording is damaged.
        """
        self._source.subscribe(self)
        try:
            while not stopping.is_set() and not (self._options.until_end and self._finished()):
                for polled in self._source.poll(POLL_S):
                    self._take(polled)
                self._begin_waiting()
                self._close_old()
                if on_progress is not None:
                    on_progress(self.report, sum(file.messages for file in self._files.values()))
            self.commit()
            self._let_go([*self._held, *self._waiting])
        finally:
            self._drop()
            self._source.close()
        return self.report

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Take note of partitions that are ours; we begin with each once nobody else can write it."""
        self._assigned += partitions  # the broker is asked later: the group waits for the end of this call

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Finish all files, so that whoever is next finds them whole."""
        self.commit()
        self._let_go(partitions)
        self._source.unassign(partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Do as if they were revoked: the locks are still ours, so nobody else has begun."""
        self.revoked(partitions)

    def commit(self) -> None:
        """Make all that was taken visible, and tell the broker how far we are, for lag tools."""
        for key in list(self._files):
            self._close(key)
        self._source.report({partition: held.position for partition, held in self._held.items()})

    def _lock(self, partition: Partition) -> PartitionLock:
        if partition.topic not in self._topic_ids:
            self._topic_ids[partition.topic] = self._source.topic_id(partition.topic)
        return self._folder.lock(partition, self._topic_ids[partition.topic])

    def _begin_waiting(self) -> None:
        for partition in list(self._assigned):
            with suppress(TopicError):  # it is being deleted: the group takes it back
                self._waiting[partition] = self._lock(partition)
                self._assigned.remove(partition)
        for partition, lock in list(self._waiting.items()):
            if lock.take():
                if not self._begin(partition, lock):
                    continue  # its lock stays ours; the next poll gives it anew, or takes it back
                del self._waiting[partition]  # not before: a lock that is in neither place would never be released
                self._told.discard(partition)
            elif partition not in self._told:
                self._told.add(partition)
                log.warning("%s: another recorder still writes it; waiting until it has finished", partition)

    def _begin(self, partition: Partition, lock: PartitionLock) -> bool:
        """Read a partition from now on; False if that is to be tried again, for the group is taking it back."""
        topic_id = self._topic_ids[partition.topic]
        # Read after the lock is ours: from here on nobody else adds to it.
        covered = self._folder.coverage(partition.topic, topic_id).get(partition.number, Ranges())
        position = covered.next_missing(self._start(partition, covered))
        try:
            self._source.assign({partition: position})
        except BrokerError as error:
            log.warning("trying again: %s", error)
            return False
        self._held[partition] = _Held(lock, topic_id, covered, position)
        self._asked = 0.0  # when it ends, ask at once whether that was all
        log.info("%s: recording from offset %d", partition, position)
        return True

    def _start(self, partition: Partition, covered: Ranges) -> int:
        window, start = self._options.window, self._options.start
        if window is not None and window.start is not None:
            return self._source.start_offset(partition, window.start)
        # Where a recording that began at the end goes on is not the end of today.
        return covered.first if covered and start == "latest" else self._source.start_offset(partition, start)

    def _take(self, polled: Polled) -> None:
        held = self._held.get(polled.partition)
        if held is None:
            return  # let go meanwhile
        if polled.offset < held.position and polled.is_mark:
            raise ArchiveError(
                f"{polled.partition}: ends at offset {polled.offset}, but was recorded up to {held.position}: the topic"
                " was deleted and made anew; start again, and where the broker gives topics no ids, in another folder"
            )
        first = self._pass_hole(held, polled)
        if polled.is_mark:
            held.ended = polled.cause != EXPIRED
        elif polled.offset in held.covered:
            self.report.known += 1
        elif self._options.window is not None and polled.timestamp_ms not in self._options.window:
            self.report.outside += 1
        else:
            self._store(polled, held, first)
        held.position = max(held.position, polled.offset if polled.is_mark else polled.offset + 1)

    def _pass_hole(self, held: _Held, polled: Polled) -> int:
        """Return where the offsets begin that this message's file deals with: what expired is in no file."""
        if polled.cause == EXPIRED and polled.offset > held.position:
            self.report.lost += polled.offset - held.position
            return polled.offset
        return held.position

    def _store(self, polled: Polled, held: _Held, first: int) -> None:
        self._began = self._began or monotonic()
        moment = appended_at(polled.timestamp_ms)
        night = "undated" if moment is None else f"{moment:%Y-%m-%d}"
        key = (polled.partition.topic, held.topic_id, night)
        file = self._files.get(key) or self._open(key)
        self._files.move_to_end(key)
        file.add(polled, first)
        held.covered.add(first, polled.offset + 1)
        if file.written >= self._options.roll_bytes:
            self._close(key)

    def _open(self, key: tuple[str, str, str]) -> MessageFile:
        topic, topic_id, night = key
        if len(self._files) >= OPEN_FILES:
            self._close(next(iter(self._files)))
        origin = FileFacts(self._folder.marker.cluster, topic, topic_id, self._options.group, night, 0, 0, 0, {})
        self._files[key] = MessageFile(
            self._folder.path, self._folder.new_name(topic, night), origin, self._identify
        )  # fmt: skip
        return self._files[key]

    def _close(self, key: tuple[str, str, str]) -> None:
        facts = self._files[key].close()
        del self._files[key]
        self.report.files += 1
        self.report.messages += facts.messages
        self.report.bytes += facts.size
        self.report.nights.add(facts.night)
        self.report.seconds = monotonic() - (self._began or monotonic())

    def _close_old(self) -> None:
        now = monotonic()
        old = [key for key, file in self._files.items() if now - file.opened >= self._options.roll_s]
        for key in old:
            self._close(key)

    def _let_go(self, partitions: Sequence[Partition]) -> None:
        self._assigned = [partition for partition in self._assigned if partition not in partitions]
        for partition in partitions:
            if (held := self._held.pop(partition, None)) is not None:
                held.lock.release(ended=held.ended)
            if (lock := self._waiting.pop(partition, None)) is not None:
                lock.release()

    def _drop(self) -> None:
        """Take back what is in no whole file; nothing is left to drop after a stop in good order."""
        for file in self._files.values():
            file.abandon()
        self._files.clear()
        for lock in (*(held.lock for held in self._held.values()), *self._waiting.values()):
            lock.release()
        self._held.clear()
        self._waiting.clear()

    def _finished(self) -> bool:
        """Say whether there is nothing left to read for anybody, as far as we can help it."""
        if self._assigned or self._waiting or not all(held.ended for held in self._held.values()):
            return False
        if monotonic() - self._asked < ASK_S:
            return False
        self._asked = monotonic()
        everything = (
            Partition(topic, number) for topic, count in self._source.partitions().items() for number in range(count)
        )
        return all(partition in self._held or self._is_elsewhere(partition) for partition in everything)

    def _is_elsewhere(self, partition: Partition) -> bool:
        """Say whether another recorder has this partition, or has finished it while we were at work."""
        lock = self._lock(partition)
        elsewhere = not lock.take() or lock.ended_since(self._started)
        lock.release()
        return elsewhere
