from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fulgor.consumer.messages import Partition
from fulgor.consumer.source import Polled, Source
from fulgor.errors import ArchiveError, SettingsError
from fulgor.replay.archive import open_archive
from fulgor.replay.source import ArchiveSource

from .conftest import container


class Reads:
    """A listener that begins at an offset."""

    def __init__(self, source: Source, offset: int = 0) -> None:
        self.source = source
        self.offset = offset

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self.source.assign(dict.fromkeys(partitions, self.offset))

    def revoked(self, partitions: Sequence[Partition]) -> None:
        raise AssertionError

    def lost(self, partitions: Sequence[Partition]) -> None:
        raise AssertionError


def drain(source: ArchiveSource, offset: int = 0) -> list[Polled]:
    source.subscribe(Reads(source, offset))
    found: list[Polled] = []
    while not found or not found[-1].is_mark:
        found.extend(source.poll(0))
    return found


def test_gives_every_message_and_an_end_mark(folder: Path) -> None:
    source = ArchiveSource(open_archive(folder))
    *messages, end = drain(source)
    assert [(polled.offset, polled.key) for polled in messages] == [
        (0, b"a/10.avro"),
        (1, b"a/9.AVRO"),
        (2, b"b/2.avro"),
    ]
    assert all(polled.value == (folder / (polled.key or b"").decode()).read_bytes() for polled in messages)
    assert (end.offset, end.is_mark) == (3, True)
    assert source.poll(0) == []
    source.raise_failure()


def test_its_identity_is_the_archives(folder: Path) -> None:
    source = ArchiveSource(folder)
    path, content = open_archive(folder).identity
    assert source.cluster == "archive"
    assert source.partitions() == {path: 1}
    assert source.topic_id(path) == content
    assert source.end_offset(Partition(path, 0)) == 3


def test_goes_on_where_it_was_left(folder: Path) -> None:
    source = ArchiveSource(folder)
    assert [polled.offset for polled in drain(source, 2)] == [2, 3]
    source.assign({Partition(str(folder), 0): 1})
    assert [polled.offset for polled in source.poll(0)] == [1, 2, 3]


def test_gives_nothing_while_paused_or_not_assigned(folder: Path) -> None:
    source = ArchiveSource(folder)
    assert source.poll(0) == []
    source.subscribe(Reads(source))
    [partition] = [Partition(topic, 0) for topic in source.partitions()]
    assert len(source.poll(0)) == 4
    source.assign({partition: 0})
    source.pause([partition])
    assert source.poll(0) == []
    source.resume([partition])
    assert len(source.poll(0)) == 4
    source.pause([partition])
    source.assign({partition: 0})  # a pause does not outlive the assignment
    assert len(source.poll(0)) == 4
    source.assign({partition: 0})
    source.unassign([partition])
    assert source.poll(0) == []


def test_a_poll_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(70):
        (tmp_path / f"{number:02}.avro").write_bytes(b"x")
    source = ArchiveSource(tmp_path)
    source.subscribe(Reads(source))
    assert [len(source.poll(0)) for _ in range(2)] == [64, 7]
    monkeypatch.setattr("fulgor.replay.source.BYTES_A_POLL", 2)
    source.assign({Partition(str(tmp_path), 0): 0})
    assert len(source.poll(0)) == 2


def test_a_cut_tarball_ends_like_any_other_and_keeps_its_error(make_tar: Callable[..., Path]) -> None:
    path = make_tar({"1.avro": container(), "2.avro": container()}, "w")
    path.write_bytes(path.read_bytes()[:1600])
    source = ArchiveSource(path)
    assert [polled.is_mark for polled in drain(source)] == [False, True]
    with pytest.raises(ArchiveError, match="cut"):
        source.raise_failure()


def test_a_file_that_can_be_no_message_leaves_a_gap_and_an_error(make_tar: Callable[..., Path]) -> None:
    source = ArchiveSource(
        open_archive(make_tar({"1.avro": bytes(999), "2.avro": b"", "3.avro": bytes(999)}), limit=500)
    )
    assert [(polled.offset, polled.is_mark) for polled in drain(source)] == [(1, False), (3, True)]
    with pytest.raises(ArchiveError, match=r"1\.avro.*3\.avro"):
        source.raise_failure()


def test_an_archive_begins_at_its_beginning(folder: Path) -> None:
    source = ArchiveSource(folder)
    partition = Partition(str(folder), 0)
    assert source.start_offset(partition, "earliest") == 0
    with pytest.raises(SettingsError, match="--from latest"):
        source.start_offset(partition, "latest")
