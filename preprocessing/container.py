"""Avro object containers, walked byte by byte of structure: header, blocks, records.

Every size that a container claims is checked against its bytes, every block ends in the sync
marker, decompression is bounded, checksums are checked where the codec has one, and a block's
records must use up all of its bytes. So a damaged container is found out before any of its records
is used; a reader that yields records as it goes learns of the damage too late.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from fulgor.errors import MalformedError
from fulgor.preprocessing.avro import BodyError, Projection, Schema, SchemaCache
from fulgor.preprocessing.avro.readers import LONGEST_VARINT, encode_varint
from fulgor.preprocessing.codecs import MAX_BLOCK_BYTES, decompress

__all__ = [
    "AvroRecord",
    "Block",
    "ContainerReader",
    "Header",
    "read_blocks",
    "read_body",
    "read_header",
    "split_blocks",
]

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


@dataclass(frozen=True, slots=True)
class AvroRecord:
    """One decoded record.

    Parameters
    ----------
    index : int
        Which record of the message, from 0.
    values : any
        The wanted fields: a dict for a record, nested like the schema.
    content_hash : bytes
        16 bytes over the writer schema and the record's decompressed bytes: two records are equal
        in content where their hashes are, whatever the container's codec and blocks.
    """

    index: int
    values: Any
    content_hash: bytes


class _Cursor:
    """Reads a stream and knows where it is."""

    def __init__(self, stream: BinaryIO, at: int = 0) -> None:
        self.stream = stream
        self.at = at

    def take(self, size: int, what: str) -> bytes:
        raw = self.stream.read(size)
        if len(raw) != size:
            raise MalformedError(
                f"truncated in {what}: {size} bytes expected at byte {self.at}, {len(raw)} found", stage="container"
            )
        self.at += size
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
        """Say whether nothing is left, without going past a byte."""
        return not self.stream.peek(1) if isinstance(self.stream, io.BufferedReader) else self._ended_seekable()

    def _ended_seekable(self) -> bool:
        here = self.stream.tell()
        more = self.stream.read(1)
        self.stream.seek(here)
        return not more


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
    found = cursor.stream.read(SYNC_BYTES)
    cursor.at += len(found)
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


def read_blocks(stream: BinaryIO, header: Header, limit: int = MAX_BLOCK_BYTES) -> Iterator[Block]:
    """Yield the blocks behind a header, each checked for length and sync marker, not decompressed.

    Parameters
    ----------
    stream : binary file
        Stands behind the header.
    header : Header
        The header that was read from it.
    limit : int
        The longest block that is allowed, in compressed bytes.

    Raises
    ------
    MalformedError
        A block is truncated, claims an impossible size, or does not end in the sync marker.
    """
    cursor = _Cursor(stream, len(header.raw))
    index = 0
    while not cursor.ended():
        at = cursor.at
        count = cursor.varint(f"the record count of block {index}")
        if not 0 <= count <= MAX_RECORDS:
            raise MalformedError(f"block {index} at byte {at} claims {count} records", stage="container")
        payload = cursor.sized(limit, f"block {index}")
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


def read_body(schema: Schema, body: bytes, start: int, index: int) -> tuple[AvroRecord, int]:
    """Decode one record of a decompressed block.

    Parameters
    ----------
    schema : Schema
        What it was written with.
    body : bytes
        The decompressed block.
    start : int
        Where the record starts.
    index : int
        The record's number in the message.

    Returns
    -------
    record : AvroRecord
        The wanted fields and the hash of the record.
    end : int
        The offset behind it.

    Raises
    ------
    BodyError
        The bytes do not follow the schema.
    """
    values, end = schema.reader.read(body, start)
    digest = hashlib.blake2b(schema.fingerprint, digest_size=16)
    digest.update(memoryview(body)[start:end])
    return AvroRecord(index, values, digest.digest()), end


class ContainerReader:
    """Decodes whole containers; schemas are compiled once.

    Parameters
    ----------
    projection : Projection
        The wanted fields.
    """

    def __init__(self, projection: Projection) -> None:
        self.schemas = SchemaCache(projection)

    def __call__(self, value: bytes) -> list[AvroRecord]:
        """Return the records of a container.

        Parameters
        ----------
        value : bytes
            The container.

        Raises
        ------
        MalformedError
            Any part of it is damaged (stage ``container``), or the schema is refused (``schema``).
        """
        stream = io.BytesIO(value)
        header = read_header(stream)
        blocks = list(read_blocks(stream, header, len(value)))
        schema = self.schemas(header.schema)
        records: list[AvroRecord] = []
        for block in blocks:
            records += self._records(schema, header, block, len(records))
        return records

    def _records(self, schema: Schema, header: Header, block: Block, first: int) -> Iterator[AvroRecord]:
        where = f"block {block.index} at byte {block.at}"
        body = decompress(header.codec, block.payload, where)
        if block.count > max(len(body), 1):
            raise MalformedError(f"{where} claims {block.count} records in {len(body)} bytes", stage="container")
        end = 0
        for index in range(first, first + block.count):
            try:
                record, end = read_body(schema, body, end, index)
            except BodyError as error:
                raise MalformedError(f"damaged: record {index} in {where}: {error}", stage="container") from error
            yield record
        if end != len(body):
            raise MalformedError(
                f"damaged: {where} holds {len(body)} bytes, its {block.count} records take {end}", stage="container"
            )
