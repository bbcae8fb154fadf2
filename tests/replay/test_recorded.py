"""Recordings as archives, whole and damaged."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pandas as pd
import pytest
from faketopic import A_NIGHT_MS, FakeTopic, message, record

import fulgor.replay.record.file as file_module
from fulgor.consumer.messages import Partition
from fulgor.errors import ArchiveError, SettingsError
from fulgor.replay.archive import open_archive
from fulgor.replay.lookup import MessageFinder
from fulgor.replay.record.check import check_recording
from fulgor.replay.record.identify import identify_ztf
from fulgor.replay.record.layout import MESSAGES, message_files
from fulgor.replay.source import ArchiveSource
from fulgor.storage.places import StoredPlace

from .conftest import container

COUNT = 40


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recording of two partitions in two files of several row groups."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(file_module, "GROUP_ROWS", 8)
    messages = [message(k % 2, k // 2, container(1 + k % 3, size=50), minutes=60 * k) for k in range(COUNT - 1)]
    record(FakeTopic([*messages, message(1, 19, None, minutes=60 * COUNT)]), tmp_path / "out", identify_ztf)
    assert len(message_files(tmp_path / "out")) == 3
    return tmp_path / "out"


def test_any_message_can_be_begun_with(out: Path):
    archive = open_archive(out)
    whole = list(archive)
    assert [each.index for each in whole] == list(range(COUNT))
    for start in (0, 1, 17, COUNT - 1, COUNT):
        assert list(archive.messages(start)) == whole[start:]
    assert (archive.count, archive.others, archive.topics) == (COUNT, {}, {"night"})
    assert archive.position == archive.size == sum(file.stat().st_size for file in message_files(out))
    with pytest.raises(SettingsError, match="--split"):
        open_archive(out, split=True)


def test_the_identity_changes_with_the_content(out: Path):
    before = open_archive(out).identity
    assert open_archive(out).identity == before
    message_files(out)[0].unlink()
    assert open_archive(out).identity != before


def test_the_index_is_read_by_others(out: Path):
    index = pd.read_parquet(out / "index")
    assert len(index) == sum(1 + k % 3 for k in range(COUNT - 1)) + 1
    first = index[(index["offset"] == 1) & (index["partition"] == 0)]  # three records
    assert first["object"].tolist() == ["ZTF0", "ZTF1", "ZTF2"]
    assert (first["time"].iloc[1] - first["time"].iloc[0]).total_seconds() == pytest.approx(60, abs=0.01)
    row = index[index["record"] == 2].iloc[0]
    stored = pd.read_parquet(out / row["file"]).iloc[row["position"]]
    assert (stored["offset"], stored["partition"]) == (row["offset"], row["partition"])
    assert (out / "schemas" / f"{row['schema']}.avsc").read_text().startswith("{")
    assert index["schema"].nunique() == 1
    assert pd.isna(index[index["offset"] == 19].iloc[-1]["object"])  # the tombstone


def test_a_cut_file_is_named_and_the_others_are_read(out: Path):
    victim = message_files(out)[0]
    kept = len(open_archive(out.parent / "out").problems)
    victim.write_bytes(victim.read_bytes()[:-100])
    archive = open_archive(out)
    found = list(archive)
    assert 0 < len(found) < COUNT
    assert kept == 0
    assert len(archive.problems) == 1
    assert victim.name in archive.problems[0]
    assert victim.name in check_recording(out).damaged[0]
    with pytest.raises(ArchiveError, match=r"cut or damaged"):  # its messages would be recorded again
        record(FakeTopic([message(0, 0), message(1, 0)]), out)


def test_no_flipped_bit_goes_unseen(out: Path):
    """Every page has a checksum; what lies between the pages does not parse, or changes nothing."""
    whole = [(each.name, each.value, each.key, each.headers) for each in open_archive(out)]
    victim, drawn = message_files(out)[1], random.Random(1)
    kept, unseen = victim.read_bytes(), 0
    for _ in range(60):
        broken = bytearray(kept)
        broken[drawn.randrange(len(broken))] ^= 1 << drawn.randrange(8)
        victim.write_bytes(broken)
        archive = open_archive(out)
        found = [(each.name, each.value, each.key, each.headers) for each in archive]
        assert set(found) <= set(whole)
        unseen += not archive.problems and found != whole
    assert unseen == 0


def test_a_damaged_footer_makes_no_other_messages_of_whole_pages(out: Path):
    """A footer has no checksum: what it says of columns and rows is held against what there has to be."""
    victim = message_files(out)[1]
    kept = victim.read_bytes()
    footer = len(kept) - 8 - int.from_bytes(kept[-8:-4], "little")
    names = [kept.index(name.encode(), footer) for name in MESSAGES.names]
    rows = kept.index(b"\x16\x10\x26", footer) + 1  # of the first group: 8, doubled by thrift, before its place
    for at, bit in [*((name, bit) for name in names for bit in (0x01, 0x80)), (rows, 0x10), (rows, 0x08)]:
        broken = bytearray(kept)
        broken[at] ^= bit
        victim.write_bytes(broken)
        archive = open_archive(out)
        assert 0 < len(list(archive)) < COUNT
        (problem,) = archive.problems
        assert "cut or damaged" in problem


def test_an_unfinished_file_and_nothing_else(tmp_path: Path, out: Path):
    for file in message_files(out):
        file.rename(file.with_name(f"{file.name}.part"))
    with pytest.raises(ArchiveError, match="holds no messages"):
        list(open_archive(out))


def test_as_a_source_it_gives_keys_and_headers(tmp_path: Path):
    headers = (("n", b"1"),)
    record(FakeTopic([message(0, 0, b"v", key=b"k", headers=headers), message(0, 1, None)]), tmp_path / "out")
    source = ArchiveSource(tmp_path / "out")
    source.assign({Partition(open_archive(tmp_path / "out").identity.path, 0): 0})
    one, tombstone, end = source.poll(0)
    assert (one.value, one.key, tuple(one.headers)) == (b"v", b"k", headers)
    assert (tombstone.value, tombstone.is_mark) == (None, False)
    assert (end.is_mark, end.offset) == (True, 2)


def test_the_message_behind_a_row(out: Path, folder: Path):
    recording, files = open_archive(out), open_archive(folder)
    finder = MessageFinder(recordings=[out])
    by_topic = StoredPlace("cluster-1", "night", "id-1", 1, 7)
    in_recording = StoredPlace("archive", *recording.identity, 0, 15)
    in_files = StoredPlace("archive", *files.identity, 0, 2)
    gone = [
        by_topic._replace(offset=99),
        by_topic._replace(topic_id="id-2"),
        by_topic._replace(cluster="cluster-2"),
        in_files._replace(offset=3),
        in_files._replace(topic_id="another content"),
        in_files._replace(topic="/nowhere"),
    ]
    found = finder.find([by_topic, in_recording, in_files, *gone])
    fifteenth = list(recording)[15]
    assert fifteenth.name == "night[1]@7"
    assert found == {by_topic: fifteenth.value, in_recording: fifteenth.value, in_files: list(files)[2].value}
    with pytest.raises(ArchiveError, match="not a recording"):
        MessageFinder(recordings=[folder])


def test_times_are_the_headers_first(tmp_path: Path):
    replayed = message(0, 0, headers=(("fulgor-time-ms", b"1234567890123"),))
    record(FakeTopic([replayed, message(0, 1)]), tmp_path / "out")
    assert [each.time_ms for each in open_archive(tmp_path / "out")] == [1234567890123, A_NIGHT_MS + 60_000]
