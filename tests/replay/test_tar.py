from __future__ import annotations

import io
import random
import tarfile

import pytest

from fulgor.errors import ArchiveError
from fulgor.replay.tar import BLOCK, NAME_MAX, is_header, read_members

MEMBERS = {
    "1.avro": b"one",
    "empty.avro": b"",
    "whole_blocks.avro": b"b" * 1024,
    "n" * 99 + ".avro": b"a name of more than 100 bytes",
    "/".join(["folder" * 10] * 8) + "/deep.avro": b"a path of more than 255 bytes",
    "größe.avro": b"not ASCII",
}


def write(members: dict[str, bytes], layout: int = tarfile.PAX_FORMAT, **attributes: object) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=layout) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in attributes.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def read(tar: bytes) -> dict[str, bytes]:
    return {
        member.name: member.data.readall() for member in read_members(io.BytesIO(tar), "t.tar") if member.kind is None
    }


def header(**fields: bytes) -> bytes:
    """Return a ustar header with a right checksum whatever the fields say."""
    places = {"name": (0, 100), "size": (124, 12), "type": (156, 1), "magic": (257, 8)}
    block = bytearray(BLOCK)
    for name, value in ({"name": b"x.avro", "size": b"0", "type": b"0", "magic": b"ustar\000"} | fields).items():
        at, length = places[name]
        block[at : at + length] = value.ljust(length, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


END = bytes(2 * BLOCK)


@pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_reads_what_the_standard_library_writes(layout: int) -> None:
    assert list(read(write(MEMBERS, layout)).items()) == list(MEMBERS.items())


def test_reads_ustar_prefixes() -> None:
    members = {"folder/" * 20 + "1.avro": b"one", "2.avro": b"two"}
    assert read(write(members, tarfile.USTAR_FORMAT)) == members


def test_members_that_are_not_read_are_stepped_over() -> None:
    names = [member.name for member in read_members(io.BytesIO(write(MEMBERS)), "t.tar")]
    assert names == list(MEMBERS)


def test_a_member_half_read_does_not_shift_the_next() -> None:
    members = read_members(io.BytesIO(write({"1": b"x" * 5000, "2": b"two"})), "t.tar")
    next(members).data.read(700)
    assert next(members).data.readall() == b"two"


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.DIRTYPE, "folder"),
        (tarfile.FIFOTYPE, "pipe"),
        (tarfile.CHRTYPE, "device"),
        (b"Z", "member of type 'Z'"),
    ],
)
def test_names_what_is_no_file(flag: bytes, kind: str) -> None:
    (member,) = read_members(io.BytesIO(write({"x.avro": b""}, type=flag, linkname="/etc/passwd")), "t.tar")
    assert member.kind == kind


def test_a_link_that_claims_a_size_has_no_data() -> None:
    tar = header(type=b"2", size=b"777777") + header(name=b"2.avro", size=b"3") + b"two".ljust(BLOCK, b"\0") + END
    assert read(tar) == {"2.avro": b"two"}


def test_sparse_files_are_named_and_stepped_over() -> None:
    old = bytearray(header(type=b"S", size=b"3"))
    old[482] = 1  # one more block of maps follows
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    tar = bytes(old) + bytes(BLOCK) + b"abc".ljust(BLOCK, b"\0") + write({"2.avro": b"two"})
    assert [member.kind for member in read_members(io.BytesIO(tar), "t.tar")] == ["sparse file", None]
    pax = write({"1.avro": b"abc"}, pax_headers={"GNU.sparse.major": "1"})
    assert [member.kind for member in read_members(io.BytesIO(pax), "t.tar")] == ["sparse file"]


def test_sizes_in_base_256() -> None:
    tar = header(size=b"\x80" + (3).to_bytes(11, "big")) + b"abc".ljust(BLOCK, b"\0") + END
    assert read(tar) == {"x.avro": b"abc"}


def test_concatenated_tars_are_read_to_the_last() -> None:
    assert list(read(write({"1": b"one"}) + write({"2": b"two"}))) == ["1", "2"]


def test_every_cut_is_an_error_after_the_whole_members() -> None:
    tar = write({"1": b"x" * 700, "2": b"y" * 700})
    content_ends = tar.rindex(b"y") + 1
    for cut in [*range(0, content_ends, 100), content_ends, -(-content_ends // BLOCK) * BLOCK]:
        found = []
        with pytest.raises(ArchiveError, match=r"t\.tar.*(cut|still being copied)"):
            found.extend(member.data.readall() for member in read_members(io.BytesIO(tar[:cut]), "t.tar"))
        assert found == [b"x" * 700, b"y" * 700][: len(found)]


@pytest.mark.parametrize(
    ("tar", "problem"),
    [
        (header(size=b"-7") + END, "gives the size"),
        (header(size=b"0x10") + END, "gives the size"),
        (header(size=b"1_0") + END, "gives the size"),
        (b"x" + header()[1:-1] + b"x" + END, "header is damaged"),
        (header(size=b"\x80" + b"\xff" * 11) + END, "ends within this member"),
        (header(type=b"L", size=b"%o" % (NAME_MAX + 1)) + bytes(NAME_MAX + BLOCK) + END, "longer than"),
        (header(type=b"L", size=b"77777777777") + END, "ends within this member"),
        (header(type=b"x", size=b"14") + b"12 size=-100".ljust(BLOCK, b"\0") + END, "claims the size"),
        (header(type=b"x", size=b"11") + b"99 path=x".ljust(BLOCK, b"\0") + END, "damaged pax"),
        (header(type=b"x", size=b"11") + b"1 path=xx".ljust(BLOCK, b"\0") + END, "damaged pax"),
        (header(type=b"x", size=b"11") + b"-9 path=x".ljust(BLOCK, b"\0") + END, "damaged pax"),
    ],
)
def test_hostile_headers_are_refused(tar: bytes, problem: str) -> None:
    with pytest.raises(ArchiveError, match=problem):
        read(tar)


def test_a_member_that_claims_more_than_there_is_gives_only_what_is_asked_for() -> None:
    class Endless:
        largest = 0

        def __init__(self) -> None:
            self.head = header(size=b"77777777777")

        def read(self, size: int, /) -> bytes:
            self.largest = max(self.largest, size)
            head, self.head = self.head, b""
            return head or bytes(size)

    stream = Endless()
    member = next(read_members(stream, "t.tar"))
    assert member.size == 0o77777777777
    assert len(member.data.read(1000) or b"") == 1000
    assert stream.largest == 1000


def test_damage_anywhere_ends_in_our_error_or_in_members() -> None:
    choose = random.Random(3)
    tar = write(MEMBERS)
    for _ in range(500):
        damaged = bytearray(tar)
        for _ in range(choose.randint(1, 4)):
            damaged[choose.randrange(len(damaged))] = choose.randrange(256)
        try:
            read(bytes(damaged[: choose.randint(0, len(damaged))]))
        except ArchiveError:
            continue


def test_is_header() -> None:
    assert is_header(header())
    assert not is_header(bytes(BLOCK))
    assert not is_header(b"Obj\x01" + bytes(BLOCK - 4))
    assert not is_header(header()[:-1])
