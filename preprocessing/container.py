"""The structure of Avro object containers: header and blocks, without a look into the records.

Every size that a container claims is checked against its bytes, and every block has to end in the
sync marker.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from fulgor.errors import MalformedError
from fulgor.preprocessing.avro.readers import LONGEST_VARINT, encode_varint
from fulgor.preprocessing.codecs import MAX_BLOCK_BYTES

__all__ = ["SYNC_BYTES", "Block", "Header", "read_blocks", "read_header", "split_blocks"]

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
MAX_METADATA_ENTRIES = 1000
MAX_METADATA_BYTES = 1 << 21
MAX_RECORDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Header:
    """The start of a container.

    Parameters
    ----------
    schema : bytes
        The writer schema's JSON.
    codec : str
        Name of the blocks' compression.
    sync : bytes
        The 16 bytes that end the header and every block.
    raw : bytes
        The whole header as it was, sync marker included.
    """

    schema: bytes
    codec: str
    sync: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """Some records of a container, compressed as they were written.

    Parameters
    ----------
    index : int
        Which block, from 0.
    at : int
        Its byte offset in the container.
    count : int
        How many records it claims to hold.
    payload : bytes
        The records, compressed.
    """

    index: int
    at: int
    count: int
    payload: bytes


class _Cursor:
    """Reads a stream and knows where it is."""

    def __init__(self, stream: BinaryIO, at: int = 0) -> None:
        self.stream = stream
        self.at = at
        self._ahead = b""

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end."""
        ahead, self._ahead = self._ahead[:size], self._ahead[size:]
        raw = ahead + self.stream.read(size - len(ahead))
        self.at += len(raw)
        return raw

    def take(self, size: int, what: str) -> bytes:
        at = self.at
        raw = self.read(size)
        if len(raw) != size:
            raise MalformedError(
                f"truncated in {what}: {size} bytes expected at byte {at}, {len(raw)} found", stage="container"
            )
        return raw

    def varint(self, what: str) -> int:
        value = 0
        for index in range(LONGEST_VARINT):
            byte = self.take(1, what)[0]
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
        raise MalformedError(f"{what} at byte {self.at} is no integer", stage="container")

    def sized(self, limit: int, what: str) -> bytes:
        at = self.at
        size = self.varint(f"the length of {what}")
        if not 0 <= size <= limit:
            raise MalformedError(
                f"{what} at byte {at} claims {size} bytes, at most {limit} are allowed", stage="container"
            )
        return self.take(size, what)

    def ended(self) -> bool:
        """Say whether nothing is left."""
        self._ahead = self._ahead or self.stream.read(1)
        return not self._ahead


def _metadata(cursor: _Cursor) -> dict[bytes, bytes]:
    """Return the header's map."""
    entries: dict[bytes, bytes] = {}
    while count := cursor.varint("the header's count of entries"):
        if count < 0:  # the size in bytes follows
            cursor.varint("the size of the header's entries")
        if abs(count) + len(entries) > MAX_METADATA_ENTRIES:
            raise MalformedError(f"the header claims {abs(count)} entries", stage="container")
        for _ in range(abs(count)):
            key = cursor.sized(MAX_METADATA_BYTES, "a key of the header")
            entries[key] = cursor.sized(MAX_METADATA_BYTES, "a value of the header")
            if cursor.at > MAX_METADATA_BYTES:
                raise MalformedError(f"the header has more than {MAX_METADATA_BYTES} bytes", stage="container")
    return entries


class _Recorder(_Cursor):
    """A cursor that keeps what it has read."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.kept = bytearray()

    def take(self, size: int, what: str) -> bytes:
        raw = super().take(size, what)
        self.kept += raw
        return raw


def read_header(stream: BinaryIO) -> Header:
    """Read a container's header; the stream is left behind it.

    Raises
    ------
    MalformedError
        It is truncated, goes beyond a bound, or holds no schema.
    """
    cursor = _Recorder(stream)
    if cursor.take(len(MAGIC), "the magic number") != MAGIC:
        raise MalformedError(f"not an Avro container: it starts with {bytes(cursor.kept)!r}", stage="framing")
    entries = _metadata(cursor)
    if b"avro.schema" not in entries:
        raise MalformedError("the header holds no avro.schema", stage="container")
    codec = entries.get(b"avro.codec", b"null").decode("ascii", "backslashreplace")
    sync = cursor.take(SYNC_BYTES, "the header's sync marker")
    return Header(entries[b"avro.schema"], codec, sync, bytes(cursor.kept))


def _check_sync(cursor: _Cursor, expected: bytes, payload: bytes, where: str) -> None:
    """Check the marker behind a block; where it comes early, say how many bytes were lost."""
    at = cursor.at
    found = cursor.read(SYNC_BYTES)
    if found == expected:
        return
    place = (payload[-SYNC_BYTES:] + found).find(expected)
    if place >= 0:
        lost = len(payload[-SYNC_BYTES:]) - place
        raise MalformedError(
            f"damaged: {lost} byte{'s' * (lost != 1)} missing in {where}: its sync marker comes early",
            stage="container",
        )
    what = "damaged" if len(found) == SYNC_BYTES else "truncated"
    raise MalformedError(
        f"{what}: {where} does not end in the sync marker: expected {expected.hex()} at byte {at}, "
        f"found {found.hex() or 'nothing'}",
        stage="container",
    )


def read_blocks(stream: BinaryIO, header: Header) -> Iterator[Block]:
    """Yield the blocks behind a header, each checked for length and sync marker, not decompressed.

    Parameters
    ----------
    stream : binary file
        Stands behind the header.
    header : Header
        The header that was read from it.

    Raises
    ------
    MalformedError
        A block is truncated, claims more than :data:`fulgor.preprocessing.codecs.MAX_BLOCK_BYTES`, or does not end in
        the sync marker.
    """
    cursor = _Cursor(stream, len(header.raw))
    index = 0
    while not cursor.ended():
        at = cursor.at
        count = cursor.varint(f"the record count of block {index}")
        if not 0 <= count <= MAX_RECORDS:
            raise MalformedError(f"block {index} at byte {at} claims {count} records", stage="container")
        payload = cursor.sized(MAX_BLOCK_BYTES, f"block {index}")
        _check_sync(cursor, header.sync, payload, f"block {index} at byte {at} ({count} records, {len(payload)} bytes)")
        yield Block(index, at, count, payload)
        index += 1


def split_blocks(source: bytes | BinaryIO) -> Iterator[bytes]:
    """Split a container into containers of one block each, without decoding a record.

    Parameters
    ----------
    source : bytes or binary file
        The container; a file is read block by block.

    Yields
    ------
    bytes
        The header, one block and its sync marker, all bytes unchanged.

    Raises
    ------
    MalformedError
        See `read_header` and `read_blocks`.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    header = read_header(stream)
    for block in read_blocks(stream, header):
        yield b"".join(
            (header.raw, encode_varint(block.count), encode_varint(len(block.payload)), block.payload, header.sync)
        )
