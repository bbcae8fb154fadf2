from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path

import fastavro
import pytest

from fulgor.errors import ArchiveError
from fulgor.replay.archive import open_archive

from .conftest import container


def records(value: bytes) -> int:
    return sum(1 for _ in fastavro.reader(io.BytesIO(value)))


def test_a_folder_gives_its_alerts_sorted_by_path_and_counts_the_rest(folder: Path) -> None:
    archive = open_archive(folder)
    messages = list(archive)
    assert [message.name for message in messages] == ["a/10.avro", "a/9.AVRO", "b/2.avro"]
    assert [message.index for message in messages] == [0, 1, 2]
    assert [message.value for message in messages] == [(folder / message.name).read_bytes() for message in messages]
    assert archive.others == {".csv file": 1, "file without suffix": 1, "hidden file": 1, "hidden folder": 1}
    assert archive.count == 3
    assert archive.position == archive.size == sum(len(message.value) for message in messages)


def test_links_are_followed_to_files_and_not_to_folders(folder: Path) -> None:
    (folder / "c.avro").symlink_to(folder / "a" / "10.avro")
    (folder / "gone.avro").symlink_to(folder / "nowhere")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.avro")
    archive = open_archive(folder)
    assert len(list(archive)) == 4
    assert {kind: archive.others[kind] for kind in ("linked folder", "broken link", "device or pipe")} == {
        "linked folder": 1,
        "broken link": 1,
        "device or pipe": 1,
    }


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tarball_gives_its_members_in_their_order(make_tar: Callable[..., Path], mode: str) -> None:
    values = {"./20230101/2.avro": container(2), "1.avro": container(1), "labels.csv": b"x", "._1.avro": b"x"}
    archive = open_archive(make_tar(values, mode))
    assert [(m.name, m.value) for m in archive] == list(values.items())[:2]
    assert archive.others == {".csv file": 1, "hidden file": 1}
    assert archive.count is None
    assert 0 < archive.position <= archive.size


def test_an_archive_is_read_as_often_as_wanted(make_tar: Callable[..., Path]) -> None:
    archive = open_archive(make_tar({"1.avro": b"one", "x": b""}))
    assert list(archive) == list(archive)
    assert archive.others == {"file without suffix": 1}


def test_one_file_is_one_message_whatever_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "1.avro"
    for value in (container(3), b"", b"version https://git-lfs"):
        path.write_bytes(value)
        assert [(message.name, message.value) for message in open_archive(path)] == [("1.avro", value)]


def test_a_container_needs_no_suffix(tmp_path: Path) -> None:
    (tmp_path / "packet").write_bytes(container())
    assert len(list(open_archive(tmp_path / "packet"))) == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PAR1 and more", "neither a folder"),
        (b"BZh91AY", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (b"", "it is empty"),
        (gzip.compress(b"no tar"), "gzip holds something else"),
        (gzip.compress(b"no tar " * 1000), "gzip holds something else"),
        (gzip.compress(os.urandom(1000))[:100], "gzip stream is cut"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=f"file.bin.*{problem}"):
        open_archive(path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="No such file"):
        open_archive(tmp_path / "absent")


def test_an_archive_without_alerts_says_what_it_holds_instead(tmp_path: Path, make_tar: Callable[..., Path]) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArchiveError, match=r"holds no alerts$"):
        list(open_archive(tmp_path / "empty"))
    with pytest.raises(ArchiveError, match=r"holds no alerts, only: 2 x \.fits file"):
        list(open_archive(make_tar({"1.fits": b"", "2.fits": b""})))
    with pytest.raises(ArchiveError, match="holds no alerts"):
        list(open_archive(make_tar({})))


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_cut_tarball_gives_its_whole_members_then_the_error(make_tar: Callable[..., Path], mode: str) -> None:
    path = make_tar({f"{number}.avro": os.urandom(20_000) for number in range(3)}, mode)
    path.write_bytes(path.read_bytes()[:30_000])
    names = []
    with pytest.raises(ArchiveError, match=r"night\.tar.*cut"):
        names.extend(message.name for message in open_archive(path))
    assert names == ["0.avro"]


def test_a_damaged_gzip_is_an_error(make_tar: Callable[..., Path]) -> None:
    path = make_tar({f"{number}.avro": os.urandom(20_000) for number in range(3)})
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # the checksum
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="gzip stream is damaged"):
        list(open_archive(path))


def test_a_container_over_the_limit_comes_block_by_block(tmp_path: Path, make_tar: Callable[..., Path]) -> None:
    large, small = container(10, size=1000, block=2500), container(1)
    for path in (
        make_tar({"large.avro": large, "small.avro": small}),
        make_tar({"large.avro": large, "small.avro": small}, "w"),
    ):
        archive = open_archive(path, limit=5000)
        messages = list(archive)
        assert [message.name for message in messages] == [f"large.avro#{n}" for n in range(4)] + ["small.avro"]
        assert [message.index for message in messages] == [0, 1, 2, 3, 4]
        assert [records(message.value) for message in messages] == [3, 3, 3, 1, 1]
        assert all(len(message.value) <= 5000 for message in messages)
    (tmp_path / "large.avro").write_bytes(large)
    archive = open_archive(tmp_path / "large.avro", limit=5000)
    assert [message.value for message in archive] == [message.value for message in messages[:4]]
    assert archive.count is None


def test_what_is_over_the_limit_and_does_not_split_is_named_and_keeps_its_index(make_tar: Callable[..., Path]) -> None:
    damaged = container(10, size=1000, block=2500)[:-3000]
    archive = open_archive(
        make_tar({"junk.avro": bytes(9000), "cut.avro": damaged, "good.avro": container()}), limit=5000
    )
    assert [(message.name, message.index) for message in archive] == [
        ("cut.avro#0", 1), ("cut.avro#1", 2), ("good.avro", 4)
    ]  # fmt: skip
    assert [problem.split(":")[0] for problem in archive.problems] == ["junk.avro", "cut.avro"]
    one_block = open_archive(make_tar({"1.avro": container(10, size=1000), "2.avro": container()}), limit=5000)
    assert [message.index for message in one_block] == [1]
    assert "block 0 alone" in one_block.problems[0]


def test_split_makes_each_block_a_message_and_leaves_what_does_not_split(folder: Path) -> None:
    (folder / "a" / "10.avro").write_bytes(container(4, size=1000, block=1500))
    (folder / "b" / "2.avro").write_bytes(container(4, size=1000, block=1500)[:-10])
    archive = open_archive(folder, split=True)
    assert [message.name for message in archive] == ["a/10.avro#0", "a/10.avro#1", "a/9.AVRO#0", "b/2.avro"]
    assert archive.count is None
    assert archive.largest is None


def test_messages_from_an_index_on(folder: Path, make_tar: Callable[..., Path]) -> None:
    values = {"big.avro": container(10, size=1000, block=2500), **{f"{n}.avro": container() for n in range(3)}}
    archive = open_archive(make_tar(values), limit=5000)
    everything = list(archive)
    for start in range(len(everything) + 1):
        assert list(archive.messages(start)) == everything[start:]
    unread = open_archive(folder)
    (folder / "a" / "10.avro").unlink()
    assert [message.index for message in unread.messages(1)] == [1, 2]


def test_a_file_that_vanishes_or_grows_is_an_error(folder: Path) -> None:
    archive = open_archive(folder)
    (folder / "a" / "10.avro").write_bytes(container(2))
    with pytest.raises(ArchiveError, match=r"a/10\.avro: changed while"):
        list(archive)
    (folder / "a" / "10.avro").unlink()
    with pytest.raises(ArchiveError, match=r"a/10\.avro: cannot be read"):
        list(archive)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tarball_that_vanishes_is_an_error(make_tar: Callable[..., Path], mode: str) -> None:
    path = make_tar({"1.avro": container()}, mode)
    archive = open_archive(path)
    path.unlink()
    with pytest.raises(ArchiveError, match=r"night\.tar.*: cannot be read: No such file"):
        list(archive)
    with pytest.raises(ArchiveError, match=r"night\.tar.*: cannot be read: No such file"):
        _ = archive.identity


def test_a_file_that_vanishes_before_its_size_is_known_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanishing(name: str) -> str | None:
        (folder / name).unlink()
        return None

    monkeypatch.setattr("fulgor.replay.files._kind", vanishing)
    monkeypatch.setattr("fulgor.replay.files._special", lambda file: None)
    with pytest.raises(ArchiveError, match="cannot be read: No such file"):
        open_archive(folder)


def test_identity_follows_content_and_splitting(folder: Path, make_tar: Callable[..., Path]) -> None:
    for path in (folder, make_tar({"1.avro": container()}), folder / "a" / "10.avro"):
        identity = open_archive(path).identity
        assert identity == open_archive(str(path)).identity
        assert identity.path == str(path)
        assert len(identity.content) == 32
        assert identity.content != open_archive(path, split=True).identity.content
    before = open_archive(folder).identity
    (folder / "a" / "11.avro").write_bytes(b"x")
    assert open_archive(folder).identity.content != before.content


def test_names_that_would_write_on_a_terminal_are_escaped(make_tar: Callable[..., Path]) -> None:
    (message,) = open_archive(make_tar({"\x1b[31mred\n.avro": b""}))
    assert message.name == "\\x1b[31mred\\n.avro"


def test_time_is_the_first_alerts(tmp_path: Path) -> None:
    (tmp_path / "1.avro").write_bytes(container(2, jd=2_459_945.75))
    (message,) = open_archive(tmp_path)
    assert message.time_ms == 1_672_552_800_000


@pytest.mark.real
def test_every_real_file_comes_unchanged(shared: Path) -> None:
    folder = shared / "data" / "ztf"
    archive = open_archive(folder)
    messages = list(archive)
    assert len(messages) == archive.count == 221
    assert archive.others == {".csv file": 1, "file without suffix": 1}
    assert archive.problems == []
    for message in messages:
        assert message.value == (folder / message.name).read_bytes()
        if not message.name.startswith("malformed"):
            assert message.time_ms is not None
            assert 1_500_000_000_000 < message.time_ms < 1_800_000_000_000
