"""Training sets: what is in them, how they divide, what is kept of them on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from fulldisk import full_beyond

from fulgor.consumer.stream import Item
from fulgor.errors import ArchiveError, DiskFullError, MalformedError
from fulgor.models.dataset import UNLABELLED
from fulgor.replay.archive import open_archive
from fulgor.replay.trainingset import TrainingSet, balanced, prepare_set

START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Toy:
    """Messages ``[[alert, object, hours], ...]`` in JSON; counts what it prepares."""

    name: str = "toy"
    preprocessing_hash: str = "h1"
    prepared: int = 0

    def decode(self, value: bytes) -> list:
        try:
            return json.loads(value)
        except ValueError as error:
            raise MalformedError(str(error)) from error

    def prepare(self, record: list) -> list[Item]:
        alert, name, hours = record
        if alert == "bad":
            raise MalformedError("bad")
        self.prepared += 1
        arrays = {
            "stamps": np.full((3, 4, 4), hours, np.float32),
            "masks": np.ones((3, 4, 4), np.float32),
            "sequence": np.full((5, 8), hours, np.float32),
            "sequence_mask": np.zeros(5, np.float32),
            "features": np.full(6, len(alert), np.float32),
        }
        reason = "no stamps" if alert == "blind" else None
        return [Item(alert, name, START + timedelta(hours=hours), None, b"", arrays, 0, (), reason)]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    for number in range(10):
        alerts = [[f"{number}-{k}", f"object-{(number + k) % 4}", number + k / 10] for k in range(5)]
        (folder / f"{number}.avro").write_text(json.dumps(alerts))
    (folder / "odd.avro").write_text(json.dumps([["0-0", "object-0", 0], ["blind", "x", 1], ["bad", "x", 1]]))
    (folder / "torn.avro").write_text("[")
    return folder


def test_each_alert_once_in_the_archives_order(archive: Path, tmp_path: Path):
    found = prepare_set(open_archive(archive), Toy(), tmp_path / "cache")
    assert found.alerts.tolist() == [f"{number}-{k}" for number in range(10) for k in range(5)]
    assert found.left_out == {"repeated": 1, "unscorable": 1, "malformed": 2}
    assert found.arrays["stamps"].dtype == np.float32
    assert found.arrays["masks"].dtype == bool
    assert found.arrays["stamps"][:, 0, 0, 0].tolist() == found.arrays["sequence"][:, 0, 0].tolist()
    np.testing.assert_allclose(
        (found.times_ms - found.times_ms[0]) / 3.6e6, found.arrays["stamps"][:, 0, 0, 0], atol=1e-6
    )
    assert isinstance(found.arrays["stamps"], np.memmap)


def test_it_is_prepared_once_for_each_archive_and_preparation(archive: Path, tmp_path: Path):
    stream = Toy()
    one = prepare_set(open_archive(archive), stream, tmp_path / "cache")
    again = prepare_set(open_archive(archive), stream, tmp_path / "cache")
    assert (stream.prepared, again.folder) == (52, one.folder)
    other = prepare_set(open_archive(archive), Toy(preprocessing_hash="h2"), tmp_path / "cache")
    (archive / "more.avro").write_text(json.dumps([["more", "object-9", 99]]))
    more = prepare_set(open_archive(archive), stream, tmp_path / "cache")
    assert len({one.folder, other.folder, more.folder}) == 3
    assert len(more) == 51


def test_a_process_that_was_faster_by_a_moment_has_prepared_the_set(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stream, cache, rename, rivals = Toy(), tmp_path / "cache", Path.rename, []

    def too_late(part: Path, target: Path) -> Path:
        if part.is_dir() and not rivals:
            rivals.append(cache)
            rivals[:] = [prepare_set(open_archive(archive), stream, cache).folder]
        return rename(part, target)

    monkeypatch.setattr(Path, "rename", too_late)
    found = prepare_set(open_archive(archive), stream, cache)
    assert rivals == [found.folder]
    assert list(cache.iterdir()) == [found.folder]


def test_what_fails_leaves_nothing(archive: Path, tmp_path: Path):
    class Failing(Toy):
        def prepare(self, record: list) -> list[Item]:
            if record[0] == "7-0":
                raise KeyError("a bug")
            return super().prepare(record)

    with pytest.raises(KeyError):
        prepare_set(open_archive(archive), Failing(), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "a.avro").write_text(json.dumps([["blind", "x", 1]]))
    with pytest.raises(ArchiveError, match="no alert could be prepared, 1 unscorable"):
        prepare_set(open_archive(empty), Toy(), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_set_says_what_to_do(archive: Path, tmp_path: Path):
    folder = prepare_set(open_archive(archive), Toy(), tmp_path / "cache").folder
    stamps = folder / "stamps.npy"
    stamps.write_bytes(stamps.read_bytes()[:500])
    with pytest.raises(ArchiveError, match=r"stamps\.npy cannot be read.*prepare the set again"):
        TrainingSet.open(folder)


def test_with_labels_it_is_what_training_takes(archive: Path, tmp_path: Path):
    found = prepare_set(open_archive(archive), Toy(), tmp_path / "cache")
    dataset = found.dataset({"0-0": "SN", "1-1": "VS", "2-2": "of no class", "elsewhere": "SN"}, ("VS", "SN"))
    assert {found.alerts[k]: dataset.labels[k] for k in np.flatnonzero(dataset.labels != UNLABELLED)} == {
        "0-0": 1,
        "1-1": 0,
    }
    batch = dataset.take(np.array([6, 0]))
    assert batch["stamps"].shape == (2, 3, 4, 4)
    assert {array.dtype for array in batch.values()} == {np.dtype(np.float32)}
    parts = dataset.split({"a": 0.5, "b": 0.5}, 1)
    assert not set(dataset.objects[parts["a"]]) & set(dataset.objects[parts["b"]])


def test_a_split_by_time_knows_nothing_of_the_future(archive: Path, tmp_path: Path):
    found = prepare_set(open_archive(archive), Toy(), tmp_path / "cache")
    parts = found.split_by_time({"train": 0.6, "test": 0.4}, new_objects=False)
    assert [len(index) for index in parts.values()] == [30, 20]
    assert found.times_ms[parts["train"]].max() < found.times_ms[parts["test"]].min()
    assert len(found.split_by_time({"train": 0.6, "test": 0.4})["test"]) == 0  # the four objects are all known by then
    late = found.objects.copy()
    late[40:] = "object-new"
    known = TrainingSet(found.folder, found.arrays, found.alerts, late, found.times_ms, {})
    assert known.split_by_time({"train": 0.6, "test": 0.4})["test"].tolist() == list(range(40, 50))


def test_balanced_draws_take_each_class_equally_often():
    labels = np.array([0] * 900 + [1] * 90 + [2] * 10 + [UNLABELLED] * 1000)
    drawn = balanced(labels, np.arange(2000), 3)
    counts = np.bincount(labels[drawn], minlength=3)
    assert counts.sum() == 1000
    assert np.all(np.abs(counts - 1000 / 3) < 60)
    assert np.array_equal(drawn, balanced(labels, np.arange(2000), 3))


def test_a_full_disk_leaves_nothing_of_a_set(tmp_path: Path):
    (tmp_path / "night").mkdir()
    rows = [[f"a{number}", "o", number] for number in range(40)]
    (tmp_path / "night" / "0.avro").write_text(json.dumps(rows))
    archive = open_archive(tmp_path / "night")
    with full_beyond(4000), pytest.raises(DiskFullError, match="File too large; whole files stay"):
        prepare_set(archive, Toy(), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(prepare_set(archive, Toy(), tmp_path / "cache")) == 40
