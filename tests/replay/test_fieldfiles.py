"""Field files as archives, and pickled ones converted without running anything."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fulgor.errors import ArchiveError, SettingsError
from fulgor.preprocessing.leela import LeelaDecoder
from fulgor.replay.archive import open_archive
from fulgor.replay.convert import convert
from fulgor.replay.fieldfiles import site_and_node

DTYPE = np.dtype(
    [
        ("timeoffset", "f8"), ("starttime", "M8[ns]"), ("endtime", "M8[ns]"), ("rxtime", "f8"), ("smplint", "f8"),
        ("realsmplint", "f8"), ("numsmpls", "i2"), ("packetinsec", "i2"), ("energy", "i4"), ("clipped", "?"),
        ("wvfmdata", "f8", (1024,)),
    ]
)  # fmt: skip


@pytest.fixture
def table() -> np.ndarray:
    rows = np.zeros(5, DTYPE)
    rows["starttime"] = np.datetime64("2023-02-13T17:10:56.986307007", "ns") + np.arange(5) * np.timedelta64(
        9362288, "ns"
    )
    rows["endtime"] = rows["starttime"] + np.timedelta64(9353145, "ns")
    rows["rxtime"], rows["smplint"], rows["realsmplint"] = 1.676308e15, 9.142857e-6, 9.142859755e-6
    rows["numsmpls"] = 1024
    rows["wvfmdata"] = np.random.default_rng(0).normal(-295, 80, (5, 1024)).round()
    return rows


def chunks(path: Path) -> list:
    decode = LeelaDecoder()
    return [chunk for message in open_archive(path) for chunk in decode(message.value)]


def test_a_field_file_is_an_archive_of_its_rows(table, tmp_path: Path):
    path = tmp_path / "Akrotiri_569218Q0B0024002A.202302131710.npy"
    np.save(path, table)
    found = chunks(path)
    assert [chunk.start_ns for chunk in found] == table["starttime"].astype("i8").tolist()
    assert {(chunk.site, chunk.node) for chunk in found} == {("Akrotiri", "569218Q0B0024002A")}
    np.testing.assert_array_equal(found[3].samples, table["wvfmdata"][3])
    messages = list(open_archive(path))
    assert messages[0].time_ms == int(table["starttime"][0].astype("i8")) // 1_000_000
    assert messages[1].name == f"{path.name}#1"
    assert open_archive(path).identity == open_archive(path).identity


def test_an_older_file_says_sampleinterval(table, tmp_path: Path):
    older = np.zeros(5, [("starttime", "M8[us]"), ("sampleinterval", "f8"), ("wvfmdata", "f4", (1024,))])
    older["starttime"], older["wvfmdata"] = table["starttime"], table["wvfmdata"]
    older["sampleinterval"] = table["smplint"]
    path = tmp_path / "Camborne.npy"
    np.save(path, older)
    found = chunks(path)
    assert found[0].interval_ns == pytest.approx(9142.857)
    assert found[0].end_ns is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Akrotiri_569218Q0B0024002A.202302131710.npy", ("Akrotiri", "569218Q0B0024002A")),
        ("akrotiri_202302131710.npy", ("akrotiri", "")),
        ("Lerwick.npy", ("Lerwick", "")),
    ],
)
def test_site_and_node_come_from_the_name(name, expected):
    assert site_and_node(Path(name)) == expected


def test_another_numpy_file_is_told_apart(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros(4))
    with pytest.raises(ArchiveError, match="no array of LEELA chunks"):
        open_archive(tmp_path / "a.npy")


def test_a_pickled_file_is_converted_on_purpose_only(table, tmp_path: Path):
    pickled, plain = tmp_path / "pickled.npy", tmp_path / "plain.npy"
    np.save(pickled, {number: np.array(row) for number, row in enumerate(table)}, allow_pickle=True)
    with pytest.raises(ArchiveError, match="replay convert"):
        open_archive(pickled)
    with pytest.raises(SettingsError, match="--allow-pickle"):
        convert(pickled, plain, allow_pickle=False)
    assert convert(pickled, plain, allow_pickle=True) == 5
    np.testing.assert_array_equal(np.load(plain), table)
    with pytest.raises(SettingsError, match="exists"):
        convert(pickled, plain, allow_pickle=True)


def test_a_conversion_that_is_cut_short_leaves_nothing(table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    np.save(tmp_path / "pickled.npy", {0: table}, allow_pickle=True)

    def save(file, *_: object, **__: object) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(SettingsError, match="No space left"):
        convert(tmp_path / "pickled.npy", tmp_path / "plain.npy", allow_pickle=True)
    assert [path.name for path in tmp_path.iterdir()] == ["pickled.npy"]


@pytest.mark.parametrize("content", [{"a": os.system}, [os.getcwd], {"a": np.load}])
def test_the_unpickler_admits_nothing_but_arrays(content, tmp_path: Path):
    np.save(tmp_path / "bad.npy", content, allow_pickle=True)
    with pytest.raises(ArchiveError, match="only arrays of numpy"):
        convert(tmp_path / "bad.npy", tmp_path / "out.npy", allow_pickle=True)
    assert not (tmp_path / "out.npy").exists()


def test_a_damaged_pickle_is_an_error_with_its_name(tmp_path: Path):
    (tmp_path / "bad.npy").write_bytes(b"\x80\x04damaged")
    with pytest.raises(ArchiveError, match=r"bad\.npy"):
        convert(tmp_path / "bad.npy", tmp_path / "out.npy", allow_pickle=True)
