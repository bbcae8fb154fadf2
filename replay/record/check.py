"""Whether a recording is whole: every page against its checksum, every offset accounted for once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fulgor.errors import ArchiveError
from fulgor.replay.archived import require_recording
from fulgor.replay.record.coverage import Ranges
from fulgor.replay.record.folder import RecordingFolder, read_marker
from fulgor.replay.record.identify import Identify
from fulgor.replay.record.layout import INDEX, FileFacts, index_path, message_files, open_parquet, read_facts

__all__ = ["Check", "PartitionCheck", "check_recording"]

SHOWN: Final = 20
Offsets = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PartitionCheck:
    """What a recording has of a partition.

    Parameters
    ----------
    topic, topic_id, partition
        Which; a topic deleted and made anew is another.
    first, after : int
        The offsets dealt with begin at `first` and end before `after`.
    messages : int
        Messages.
    repeated : int
        Messages whose offset another message has too; always 0.
    missing : sequence of (first, after)
        Offsets between that no file deals with: expired before they were read, or never asked for.
    """

    topic: str
    topic_id: str
    partition: int
    first: int
    after: int
    messages: int
    repeated: int
    missing: Sequence[tuple[int, int]]


@dataclass(slots=True)
class Check:
    """What was found.

    Parameters
    ----------
    files, messages, bytes, indexed : int
        Whole files, their messages and the sum of their values, rows of their indexes.
    partitions : list of PartitionCheck
        By topic and partition.
    damaged : list of str
        Files that cannot be read in full, each with the reason.
    without_index : list of str
        Files whose index is missing or damaged; ``--repair`` makes it.
    unfinished : list of str
        Files that are being written, or were when their recorder died; none of their messages counts.
    """

    files: int = 0
    messages: int = 0
    bytes: int = 0
    indexed: int = 0
    partitions: list[PartitionCheck] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    without_index: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)

    def problems(self) -> list[str]:
        """Return what keeps the recording from being whole."""
        found = list(self.damaged[:SHOWN])
        found += [f"{name}: has no index; --repair makes it" for name in self.without_index[:SHOWN]]
        doubled = [each for each in self.partitions if each.repeated]
        found += [f"{each.topic}[{each.partition}]: {each.repeated} offsets twice" for each in doubled]
        return found


def check_recording(path: Path, identify: Identify | None = None) -> Check:
    """Read a recording in full.

    Parameters
    ----------
    path : Path
        The folder.
    identify : callable, optional
        Repair with it first: remove what dead recorders left, make missing indexes.

    Raises
    ------
    ArchiveError
        It is no recording.
    """
    require_recording(path)
    folder = RecordingFolder(path, read_marker(path).cluster)
    if identify is not None:
        folder.clean(identify)
    found = Check(unfinished=[_short(path, part) for part in folder.unfinished()])
    parts: dict[tuple[str, str, int], list[Offsets]] = defaultdict(list)
    covered: dict[tuple[str, str, int], Ranges] = defaultdict(Ranges)
    for file in message_files(path):
        try:
            facts, offsets = _read(file)
        except ArchiveError as error:
            found.damaged.append(str(error))
            continue
        found.files += 1
        found.messages += facts.messages
        found.bytes += facts.size
        _check_index(path, file, found)
        for number, some in offsets.items():
            parts[facts.topic, facts.topic_id, number].append(some)
        for text, ranges in facts.covered.items():
            for first, after in ranges:
                covered[facts.topic, facts.topic_id, int(text)].add(first, after)
    found.partitions = [_account(key, np.concatenate(parts[key]), covered[key]) for key in sorted(parts)]
    return found


def _read(file: Path) -> tuple[FileFacts, Mapping[int, Offsets]]:
    """Read all of a file, which checks its pages, and return the offsets by partition."""
    facts = read_facts(file)
    numbers, offsets = [], []
    try:
        with open_parquet(file) as opened:
            for group in range(opened.num_row_groups):
                table = opened.read_row_group(group, use_threads=False)
                numbers.append(table["partition"].to_numpy())
                offsets.append(table["offset"].to_numpy())
    except (OSError, pa.ArrowException) as error:
        raise ArchiveError(f"{file}: damaged: {error}") from error
    all_numbers, all_offsets = np.concatenate(numbers), np.concatenate(offsets)
    return facts, {int(number): all_offsets[all_numbers == number] for number in np.unique(all_numbers)}


def _check_index(root: Path, file: Path, found: Check) -> None:
    try:
        with open_parquet(index_path(root, file), INDEX) as opened:
            found.indexed += opened.read(use_threads=False).num_rows
    except (ArchiveError, OSError, pa.ArrowException):
        found.without_index.append(_short(root, file))


def _account(key: tuple[str, str, int], offsets: Offsets, covered: Ranges) -> PartitionCheck:
    ranges = list(covered)
    repeated = len(offsets) - len(np.unique(offsets))
    return PartitionCheck(*key, ranges[0][0], ranges[-1][1], len(offsets), repeated, covered.missing())


def _short(root: Path, file: Path) -> str:
    return file.relative_to(root.absolute() if file.is_absolute() else root).as_posix()
