"""What lies in an archive: a file, a folder or a tarball, as entries in a fixed order.

Whatever the form, an archive is a sequence of entries (what may be a message) and of others (what
is none: another suffix, a hidden file, a link), so that nothing in it goes unmentioned.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from isal import igzip, isal_zlib

from fulgor.errors import ArchiveError
from fulgor.replay.tar import BLOCK, Forward, is_header, read_members

__all__ = ["Entry", "Other", "Reader", "open_reader", "read_errors"]

IsalError: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stubs call the class an instance
SUFFIX: Final = ".avro"
AVRO_MAGIC: Final = b"Obj\x01"
GZIP_MAGIC: Final = b"\x1f\x8b"
NPY_MAGIC: Final = b"\x93NUMPY"
SAMPLE: Final = 64 * 1024
FOREIGN: Final = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"PK\x03\x04": "zip",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that may be a message.

    Parameters
    ----------
    name : str
        Its path within the archive, printable.
    size : int
        Bytes, as the file system or the tar says.
    open : callable
        Opens it for reading; in a tarball only before the next entry is asked for.
    """

    name: str
    size: int
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Other:
    """Something that is no message, and why: "symbolic link", "hidden file", ".csv file"."""

    kind: str


class Reader(Protocol):
    """One form of archive."""

    @property
    def size(self) -> int:
        """Bytes on disk."""
        ...

    @property
    def position(self) -> int:
        """Bytes on disk that have been read."""
        ...

    @property
    def listing(self) -> list[Entry] | None:
        """The entries where they are known without reading through; None for a tarball."""
        ...

    def entries(self) -> Iterator[Entry | Other]:
        """Yield everything in a fixed order, from the beginning."""
        ...

    def fingerprint(self) -> bytes:
        """Return bytes that change when the content does, as far as can be told cheaply."""
        ...


def open_reader(path: Path) -> Reader:
    """Recognise the form of an archive by its content.

    Raises
    ------
    ArchiveError
        There is nothing at ``path``, it cannot be read, or it is no archive.
    """
    with read_errors(path):
        return _recognised(path)


def _recognised(path: Path) -> Reader:
    if path.is_dir():
        return Folder(path)
    with path.open("rb") as file:
        head = file.read(BLOCK)
    if head.startswith(GZIP_MAGIC):
        with path.open("rb") as file:
            first = Gunzip(file, str(path)).read(BLOCK)
        if not is_header(first) and any(first):
            raise ArchiveError(f"{path}: not an archive: gzip holds something else than a tar")
        return Tarball(path, compressed=True)
    if is_header(head):
        return Tarball(path, compressed=False)
    if head.startswith(NPY_MAGIC):
        from fulgor.replay.fieldfiles import FieldFile  # which is made of what is defined here

        return FieldFile(path)
    if head.startswith(AVRO_MAGIC) or path.suffix.lower() == SUFFIX:
        return SingleFile(path)
    raise ArchiveError(f"{path}: not an archive: {_foreign(head)}")


def _foreign(head: bytes) -> str:
    if not head:
        return "it is empty"
    for magic, name in FOREIGN.items():
        if head.startswith(magic):
            return f"it is compressed with {name}; unpack it, or pack it again as .tar.gz"
    return f"neither a folder, an Avro container, a tar, a .tar.gz nor a field file (it begins with {head[:8]!r})"


class SingleFile:
    """One file, one message."""

    def __init__(self, path: Path) -> None:
        self.size = path.stat().st_size
        self.position = 0
        self.listing = [Entry(_printable(path.name), self.size, partial(_open, path))]
        self._path = path

    def entries(self) -> Iterator[Entry | Other]:
        """Yield the file."""
        yield from self.listing
        self.position = self.size

    def fingerprint(self) -> bytes:
        """Return the hash of the file's size and both its ends."""
        return _sample(self._path)


class Folder:
    """All ``.avro`` files below a folder, sorted by path; linked folders are not entered."""

    def __init__(self, path: Path) -> None:
        self.listing: list[Entry] = []
        self._others: list[Other] = []
        self.position = 0
        for name in sorted(_walk(path, self._others)):
            file = path / name
            kind = _kind(name) or _special(file)
            if kind is None:
                self.listing.append(Entry(_printable(name), file.stat().st_size, partial(_open, file)))
            else:
                self._others.append(Other(kind))
        self.size = sum(entry.size for entry in self.listing)

    def entries(self) -> Iterator[Entry | Other]:
        """Yield what is no message first, then the files."""
        self.position = 0
        yield from self._others
        for entry in self.listing:
            yield entry
            self.position += entry.size

    def fingerprint(self) -> bytes:
        """Return the hash of the sorted names and sizes: it does not see a change that keeps both."""
        digest = hashlib.sha256()
        for entry in self.listing:
            digest.update(f"{entry.name}\0{entry.size}\0".encode())
        return digest.digest()


class Tarball:
    """The members of a tar, compressed by gzip or not, in their order; nothing is unpacked to disk."""

    listing = None

    def __init__(self, path: Path, *, compressed: bool) -> None:
        self.size = path.stat().st_size
        self.position = 0
        self._path = path
        self._compressed = compressed

    def entries(self) -> Iterator[Entry | Other]:
        """Yield the members.

        Raises
        ------
        ArchiveError
            After the last whole member: the tarball is cut or damaged from there on, or cannot be read.
        """
        with read_errors(self._path), self._path.open("rb") as file:
            stream: Forward = Gunzip(file, str(self._path)) if self._compressed else file
            for member in read_members(stream, str(self._path)):
                kind = member.kind or _kind(member.name)
                if kind is not None:
                    yield Other(kind)
                    continue
                yield Entry(_printable(member.name), member.size, partial(io.BufferedReader, member.data))
                self.position = file.tell()

    def fingerprint(self) -> bytes:
        """Return the hash of the file's size and both its ends."""
        return _sample(self._path)


class Gunzip:
    """A gzip stream (of one or many members) whose damage is an error of ours.

    Parameters
    ----------
    file : BinaryIO
        The compressed file.
    where : str
        What to name in an error.
    """

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._stream = igzip.IGzipFile(fileobj=file, mode="rb")  # type: ignore[no-untyped-call]
        self._where = where

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes; fewer only at the end.

        Raises
        ------
        ArchiveError
            The stream is cut, or fails its checksum.
        """
        try:
            return self._stream.read(size)
        except EOFError as error:
            raise ArchiveError(f"{self._where}: the gzip stream is cut; is the file still being copied?") from error
        except (OSError, IsalError) as error:
            raise ArchiveError(f"{self._where}: the gzip stream is damaged: {error}") from error


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Name what the file system says: a file may vanish, or its server, between two looks at it.

    Raises
    ------
    ArchiveError
        It says that something cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise ArchiveError(f"{error.filename or path}: cannot be read: {error.strerror}") from error


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _walk(folder: Path, others: list[Other]) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise ArchiveError(f"{error.filename}: cannot be listed: {error.strerror}") from error

    for root, folders, files in os.walk(folder, onerror=refuse):
        for name in list(folders):
            link = os.path.islink(Path(root, name))
            if link or name.startswith("."):
                others.append(Other("linked folder" if link else "hidden folder"))
                folders.remove(name)
        yield from (Path(root, name).relative_to(folder).as_posix() for name in files)


def _kind(name: str) -> str | None:
    parts = [part for part in name.split("/") if part not in {"", ".", ".."}]
    if any(part.startswith(".") for part in parts):
        return "hidden file"
    suffix = Path(name).suffix.lower()
    if suffix == SUFFIX:
        return None
    return f"{_printable(suffix)} file" if 0 < len(suffix) <= 8 else "file without suffix"


def _special(file: Path) -> str | None:
    if file.is_file():
        return None
    return "broken link" if file.is_symlink() else "device or pipe"


def _sample(path: Path) -> bytes:
    with read_errors(path), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(str(size).encode())
        digest.update(file.read(SAMPLE))
        file.seek(max(0, size - SAMPLE))
        digest.update(file.read(SAMPLE))
    return digest.digest()


def _printable(name: str) -> str:
    return name if name.isprintable() else name.encode("unicode_escape", "surrogateescape").decode("ascii")
