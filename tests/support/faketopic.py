"""A topic in memory, as a source: for tests of recording that need no broker."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import Event

from fulgor.consumer.messages import Partition
from fulgor.consumer.source import Listener, Polled
from fulgor.replay.record.folder import RecordingFolder
from fulgor.replay.record.identify import identify_nothing
from fulgor.replay.record.recorder import Recorder
from fulgor.replay.record.report import RecordOptions, RecordReport

TOPIC = "night"
A_NIGHT_MS = 1_700_000_000_000


def message(partition: int, offset: int, value: bytes | None = b"", *, minutes: float | None = None, **parts) -> Polled:
    """Return a message a minute after the one before, with a value that tells where it belongs."""
    value = b"%d/%d " % (partition, offset) * 20 if value == b"" else value
    time = A_NIGHT_MS + round(60_000 * (offset if minutes is None else minutes))
    return Polled(Partition(TOPIC, partition), offset, value, timestamp_ms=time, **parts)


class FakeTopic:
    """Gives messages of partitions `mine`, a few a poll, each with an end mark."""

    cluster = "cluster-1"

    def __init__(self, messages: Sequence[Polled], mine: Sequence[int] | None = None, *, batch: int = 7) -> None:
        self._messages = sorted(messages, key=lambda each: each.offset)  # partitions take turns
        self.numbers = sorted({each.partition.number for each in messages})
        self._mine = [Partition(TOPIC, number) for number in (self.numbers if mine is None else mine)]
        self._batch = batch
        self._positions: dict[Partition, int] = {}
        self.reported: dict[Partition, int] = {}
        self.incarnation = "id-1"

    def topic_id(self, topic: str) -> str:
        return self.incarnation

    def partitions(self) -> Mapping[str, int]:
        return {TOPIC: len(self.numbers)}

    def subscribe(self, listener: Listener) -> None:
        self._listener: Listener | None = listener

    def poll(self, timeout_s: float) -> Sequence[Polled]:
        if self._listener is not None:
            listener, self._listener = self._listener, None
            listener.assigned(self._mine)
        found = [each for each in self._messages if each.offset >= self._positions.get(each.partition, 1 << 60)]
        found = found[: self._batch]
        for each in found:
            self._positions[each.partition] = each.offset + 1
        return found or [Polled(each, self._end(each), is_mark=True) for each in self._positions]

    def _end(self, partition: Partition) -> int:
        return max((each.offset + 1 for each in self._messages if each.partition == partition), default=0)

    def start_offset(self, partition: Partition, start: str) -> int:
        offsets = [each.offset for each in self._messages if each.partition == partition]
        return min(offsets) if start != "latest" else max(offsets) + 1

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        self._positions |= offsets

    def unassign(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)

    def report(self, offsets: Mapping[Partition, int]) -> None:
        self.reported |= offsets

    def close(self) -> None:
        self._positions.clear()


def recorder(source: FakeTopic, folder: RecordingFolder, identify=identify_nothing, **options) -> Recorder:
    return Recorder(source, folder, identify, RecordOptions("g", until_end=True, **options))


def record(source: FakeTopic, out: Path, identify=identify_nothing, **options) -> RecordReport:
    """Record to the end, as the command does."""
    folder = RecordingFolder(out, source.cluster)
    with folder.at_work():
        folder.clean(identify)
        return recorder(source, folder, identify, **options).run(Event())
