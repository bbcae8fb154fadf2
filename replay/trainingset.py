"""Training sets: an archive prepared once by the live preparation, and read at random as often as wanted.

The prepared arrays lie in a folder named after the archive's content and the preparation's hash, one
``.npy`` file each, which maps into memory: measured against Parquet, FITS and half precision, nothing
that numpy reads was faster at random (``benchmarks/trainingsets.py``).
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fulgor.consumer.stream import Item, Stream
from fulgor.errors import ArchiveError, MalformedError
from fulgor.models.dataset import COMPACT, STEP_TIMES, UNLABELLED, Dataset
from fulgor.replay.archived import Archive, require_whole
from fulgor.replay.arrayfile import ArrayFile, mapped
from fulgor.replay.record.disk import disk_errors, write_whole

__all__ = ["TrainingSet", "balanced", "prepare_set"]

FORM: Final = 2
FACTS: Final = "set.json"
NAMED_MAX: Final = 100
Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Prepared alerts, memory-mapped.

    Parameters
    ----------
    folder : Path
        Where they lie.
    arrays : mapping of str to ndarray
        Model input with a leading axis N, and the times of its steps where the stream has a sequence.
    alerts, objects : ndarray
        Unicode (N,): ids.
    times_ms : ndarray
        int64 (N,): the alerts' own times, Unix ms.
    left_out : mapping of str to int
        Alerts that are not in it, by reason.
    broken : sequence of str
        The first of the malformed ones, with the reason.
    """

    folder: Path
    arrays: Mapping[str, NDArray[Any]]
    alerts: NDArray[np.str_]
    objects: NDArray[np.str_]
    times_ms: Index
    left_out: Mapping[str, int]
    broken: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.alerts)

    @classmethod
    def open(cls, folder: Path) -> TrainingSet:
        """Open a set that was prepared.

        Raises
        ------
        ArchiveError
            A file is missing or damaged.
        """
        try:
            facts = json.loads((folder / FACTS).read_text())
            names, left_out, broken = list(facts["arrays"]), dict(facts["left_out"]), tuple(facts.get("broken", ()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArchiveError(f"{folder / FACTS} cannot be read ({error}); delete the folder") from error
        arrays = {name: mapped(folder / f"{name}.npy") for name in names}
        ids = {name: np.asarray(mapped(folder / f"{name}.ids.npy")) for name in ("alerts", "objects", "times_ms")}
        return cls(folder, arrays, **ids, left_out=left_out, broken=broken)

    def dataset(self, labels: Mapping[str, str], classes: Sequence[str]) -> Dataset:
        """Return the set with labels, as training takes it; what is no class counts as unlabelled.

        Parameters
        ----------
        labels : mapping of str to str
            Class by alert id.
        classes : sequence of str
            Names of the classes.
        """
        number = {name: index for index, name in enumerate(classes)}
        found = [number.get(labels.get(alert, ""), UNLABELLED) for alert in self.alerts.tolist()]
        return Dataset(dict(self.arrays), np.array(found, np.int64), self.objects, tuple(classes))

    def split_by_time(self, parts: Mapping[str, float], *, new_objects: bool = True) -> dict[str, Index]:
        """Divide the alerts by their times: whoever claims a forecast trains on the past alone.

        Parameters
        ----------
        parts : mapping of str to float
            Names and fractions of the alerts, in the order of time.
        new_objects : bool
            Leave alerts of objects that an earlier part has out of the later ones, so that no part knows an object
            of another.

        Returns
        -------
        dict of str to ndarray
            Indices of each part, ascending. Alerts of one moment are in one part.
        """
        bounds = np.quantile(self.times_ms, np.cumsum(list(parts.values()))[:-1], method="higher")
        where = np.digitize(self.times_ms, bounds)
        if new_objects:
            _, objects = np.unique(self.objects, return_inverse=True)
            first = np.full(objects.max() + 1, len(parts))
            np.minimum.at(first, objects, where)
            where = np.where(first[objects] == where, where, len(parts))
        return {name: np.flatnonzero(where == number) for number, name in enumerate(parts)}


def balanced(labels: Index, index: Index, seed: int) -> Index:
    """Draw as many alerts as there are labelled ones in `index`, each class equally often on average.

    Parameters
    ----------
    labels : ndarray
        int64 (N,), negative for unlabelled.
    index : ndarray
        Where to draw from, with replacement.
    seed : int
        Another seed is another draw.
    """
    known = index[labels[index] >= 0]
    _, inverse, counts = np.unique(labels[known], return_inverse=True, return_counts=True)
    weights = 1.0 / (counts[inverse] * len(counts))
    return np.random.default_rng(seed).choice(known, len(known), p=weights)


def prepare_set(
    archive: Archive, stream: Stream, cache: Path, on_progress: Callable[[int], None] | None = None
) -> TrainingSet:
    """Prepare an archive, or open what was prepared before.

    Parameters
    ----------
    archive : Archive
        The alerts; each id is taken once, and only where a score can be computed.
    stream : Stream
        Decodes and prepares, exactly as it does live.
    cache : Path
        Folder of prepared sets. Another archive, or another preparation, is another set in it.
    on_progress : callable, optional
        Called with the number of messages after each.

    Raises
    ------
    ArchiveError
        The archive cannot be read, or holds no alert that can be prepared.
    DiskFullError
        There is no space for the set; nothing is left of it then.
    """
    name = f"{archive.identity.content}\0{stream.name}\0{stream.preprocessing_hash}\0{FORM}"
    folder = cache / f"{stream.name}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    if not (folder / FACTS).is_file():
        _prepare(archive, stream, folder, on_progress or (lambda _: None))
    return TrainingSet.open(folder)


def _prepare(archive: Archive, stream: Stream, folder: Path, on_progress: Callable[[int], None]) -> None:
    part = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.part")
    with disk_errors(part):
        part.mkdir(parents=True)
    writer = _SetWriter(part)
    try:
        for done, message in enumerate(archive, 1):
            for item in _items(stream, message.value, message.name, writer):
                writer.add(item)
            on_progress(done)
        require_whole(archive.problems)
        writer.close()
        with disk_errors(folder):
            _give_name(part, folder)
    finally:
        writer.abandon()
        shutil.rmtree(part, ignore_errors=True)


def _give_name(part: Path, folder: Path) -> None:
    """Make a set visible, unless another process was faster."""
    try:
        part.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _items(stream: Stream, value: bytes, name: str, writer: _SetWriter) -> Iterator[Item]:
    try:
        records = stream.decode(value)
    except MalformedError as error:
        writer.leave_out(name, error)
        return
    for record in records:
        try:
            if isinstance(record, MalformedError):
                raise record
            yield from stream.prepare(record)
        except MalformedError as error:
            writer.leave_out(name, error)


class _SetWriter:
    """Writes the files of a set."""

    def __init__(self, folder: Path) -> None:
        self.left_out: Counter[str] = Counter()
        self.broken: list[str] = []
        self._folder = folder
        self._files: dict[str, ArrayFile] = {}
        self._seen: dict[str, None] = {}
        self._objects: list[str] = []
        self._times: list[int] = []

    def add(self, item: Item) -> None:
        """Add an alert, unless it is there already or no score can be computed for it."""
        if item.unscorable or item.alert in self._seen:
            self.left_out["unscorable" if item.unscorable else "repeated"] += 1
            return
        times = {} if item.step_times is None else {STEP_TIMES: item.step_times}
        for name, array in {**item.arrays, **times}.items():
            row = array.astype(bool) if name in COMPACT else array
            if name not in self._files:
                self._files[name] = ArrayFile(self._folder / f"{name}.npy", row)
            self._files[name].add(row)
        self._seen[item.alert] = None
        self._objects.append(item.object)
        self._times.append(round(item.time.timestamp() * 1000))

    def leave_out(self, name: str, error: MalformedError) -> None:
        """Count a malformed alert, and name it if it is among the first."""
        self.left_out["malformed"] += 1
        if len(self.broken) < NAMED_MAX:
            self.broken.append(f"{name}: {error}")

    def close(self) -> None:
        """Write the ids and what the set is."""
        if not self._seen:
            listed = "".join(f", {count} {reason}" for reason, count in sorted(self.left_out.items()))
            first = f" (the first: {self.broken[0]})" if self.broken else ""
            raise ArchiveError(f"no alert could be prepared{listed}{first}; check the archive")
        for file in self._files.values():
            file.close()
        facts = {"arrays": sorted(self._files), "left_out": dict(self.left_out), "broken": self.broken}
        ids = {"alerts": list(self._seen), "objects": self._objects, "times_ms": np.array(self._times, np.int64)}
        with disk_errors(self._folder):
            for name, values in ids.items():
                np.save(self._folder / f"{name}.ids.npy", np.array(values), allow_pickle=False)
            write_whole(self._folder / FACTS, json.dumps(facts).encode())

    def abandon(self) -> None:
        """Close what is open."""
        for file in self._files.values():
            file.abandon()
