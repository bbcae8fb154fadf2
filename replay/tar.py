"""Walk a tar stream forwards, one member at a time, holding none of them.

The standard library's reader keeps a record of every member that it has met (gigabytes for a night
of alerts), reads a long name or a pax header of whatever size it claims into memory, and ends
quietly, as if at the end, where a header in the middle is damaged or cut. Here names are bounded,
member data is handed out as a stream, and an archive that does not end as a tar must is an error.

Layouts: POSIX.1-2008 (ustar and pax), with GNU long names and base-256 numbers.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from fulgor.errors import ArchiveError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

__all__ = ["Forward", "MemberData", "TarMember", "is_header", "read_members"]

BLOCK: Final = 512
NAME_MAX: Final = 64 * 1024
CHUNK: Final = 1 << 20
OCTAL: Final = frozenset(b"01234567")
FILE_TYPES: Final = frozenset(b"07\0")
KINDS: Final = {
    ord("1"): "hard link",
    ord("2"): "symbolic link",
    ord("3"): "device",
    ord("4"): "device",
    ord("5"): "folder",
    ord("6"): "pipe",
    ord("S"): "sparse file",
}


class Forward(Protocol):
    """A byte stream that can be read forwards."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes; fewer only at the end."""
        ...


class MemberData(io.RawIOBase):
    """The data of one member: reads end where the member ends.

    Parameters
    ----------
    stream : Forward
        The tar stream, standing at the first byte of the data.
    size : int
        Bytes that the header claims.
    where : str
        What to name in an error.
    """

    def __init__(self, stream: Forward, size: int, where: str) -> None:
        super().__init__()
        self._stream = stream
        self._left = size
        self._where = where
        self._padding = -size % BLOCK

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill ``buffer`` as far as the member goes; 0 at its end.

        Raises
        ------
        ArchiveError
            The tar ends before the member does.
        """
        view = memoryview(buffer)
        data = self._take(len(view))
        view[: len(data)] = data
        return len(data)

    def skip(self) -> None:
        """Read past what is left of the data and its padding."""
        while self._left:
            self._take(CHUNK)
        if len(self._stream.read(self._padding)) < self._padding:
            raise ArchiveError(f"{self._where}: the tar ends right after this member; the file is cut")

    def _take(self, size: int) -> bytes:
        wanted = min(size, self._left)
        data = self._stream.read(wanted)
        if len(data) < wanted:
            raise ArchiveError(f"{self._where}: the tar ends within this member; the file is cut or still being copied")
        self._left -= wanted
        return data


@dataclass(frozen=True, slots=True)
class TarMember:
    """One member of a tar.

    Parameters
    ----------
    name : str
        Path as written in the tar; only ever a label, never opened.
    size : int
        Bytes that the header claims: not to be trusted, see ``data``.
    kind : str or None
        None for a plain file, else what it is ("symbolic link", "folder", ...).
    data : MemberData
        The content, valid until the next member is asked for.
    """

    name: str
    size: int
    kind: str | None
    data: MemberData


def read_members(stream: Forward, where: str) -> Iterator[TarMember]:
    """Yield the members of a tar in their order; concatenated tars are read through to the last.

    Parameters
    ----------
    stream : Forward
        The uncompressed tar.
    where : str
        What to name in an error.

    Raises
    ------
    ArchiveError
        A header is damaged, or the stream ends without the mark that ends a tar: what was yielded
        before is whole, what comes after is lost.
    """
    zeros = 0
    overrides: dict[str, str] = {}
    while block := stream.read(BLOCK):
        if len(block) < BLOCK:
            raise ArchiveError(f"{where}: the tar ends within a header; the file is cut or still being copied")
        if not any(block):
            zeros += 1
            continue
        zeros = 0
        if block[156] in b"xgLK":
            member = _member(block, stream, where, {})
            overrides.update(_overrides(block[156], member.data, where))
        else:
            member = _member(block, stream, where, overrides)
            yield member
            overrides = {}
        member.data.skip()
    if zeros < 2:
        raise ArchiveError(f"{where}: the tar ends without its end mark; the file is cut or still being copied")


def is_header(block: bytes) -> bool:
    """Say whether 512 bytes are a tar header: their checksum holds."""
    if len(block) < BLOCK or not any(block):
        return False
    return _number(block[148:156]) == sum(block) - sum(block[148:156]) + 8 * ord(" ")


def _member(block: bytes, stream: Forward, where: str, overrides: dict[str, str]) -> TarMember:
    if not is_header(block):
        raise ArchiveError(f"{where}: a tar header is damaged; what follows it is lost")
    name = overrides.get("path") or _name(block)
    size = int(overrides["size"]) if "size" in overrides else _number(block[124:136])
    if size is None:
        raise ArchiveError(f"{where}:{name}: the tar header gives the size as {block[124:136]!r}")
    kind = _kind(block[156], name, overrides)
    if ord("1") <= block[156] <= ord("6"):  # links, devices, folders and pipes have no data whatever the size says
        size = 0
    extended = block[482] if block[156] == ord("S") else 0
    while extended:  # the old sparse layout puts further maps between header and data
        more = stream.read(BLOCK)
        extended = more[504] if len(more) == BLOCK else 0
    return TarMember(name, size, kind, MemberData(stream, size, f"{where}:{name}"))


def _kind(flag: int, name: str, overrides: dict[str, str]) -> str | None:
    if flag not in FILE_TYPES:
        return KINDS.get(flag, f"member of type {chr(flag)!r}")
    if any(key.startswith("GNU.sparse") for key in overrides):
        return "sparse file"
    return "folder" if name.endswith("/") else None


def _name(block: bytes) -> str:
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="backslashreplace")


def _number(field: bytes) -> int | None:
    if field[0] == 0x80:  # GNU: big-endian base 256
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b"\0 ")
    if not set(digits) <= OCTAL:
        return None
    return int(digits or b"0", 8)


def _overrides(kind: int, data: MemberData, where: str) -> dict[str, str]:
    content = data.read(NAME_MAX + 1) or b""
    if len(content) > NAME_MAX:
        raise ArchiveError(f"{where}: a tar header claims a name or attributes longer than {NAME_MAX} bytes")
    if kind == ord("L"):
        return {"path": _text(content)}
    if kind == ord("x"):
        return dict(_pax_records(content, where))
    return {}  # link targets and global defaults change nothing that we use


def _pax_records(content: bytes, where: str) -> Iterator[tuple[str, str]]:
    while content:
        head, _, _ = content.partition(b" ")
        if not head.isdigit() or not len(head) < int(head[:6]) <= len(content) or len(head) > 6:
            raise ArchiveError(f"{where}: a damaged pax header")
        record, content = content[len(head) + 1 : int(head)], content[int(head) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        if key == b"size" and not (value.isdigit() and len(value) < 20):
            raise ArchiveError(f"{where}: a pax header claims the size {value!r}")
        yield key.decode(errors="backslashreplace"), value.decode(errors="backslashreplace")
