"""The records of Avro object containers, taken only from containers that are whole.

Decompression is bounded, checksums are checked where the codec has one, and a block's records have
to use up all of its bytes. So a damaged container is found out before any of its records is used; a
reader that yields records as it goes learns of the damage too late.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from fulgor.errors import MalformedError
from fulgor.preprocessing.avro import BodyError, Projection, Schema, SchemaCache
from fulgor.preprocessing.codecs import decompress
from fulgor.preprocessing.container import SYNC_BYTES, Block, Header, read_blocks, read_header

__all__ = ["AvroRecord", "ContainerReader", "read_body"]

#: Of all blocks of a container together: many small ones, each within its own bound, would fill the memory.
MAX_BODY_BYTES = 1 << 28


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
        self._last: Header | None = None

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
        header = self._header(stream, value)
        blocks = list(read_blocks(stream, header))
        schema = self.schemas(header.schema)
        records: list[AvroRecord] = []
        size = 0
        for block in blocks:
            where = f"block {block.index} at byte {block.at}"
            body = decompress(header.codec, block.payload, where)
            size += len(body)
            if size > MAX_BODY_BYTES:
                raise MalformedError(f"up to {where} more than {MAX_BODY_BYTES} bytes unpacked", stage="container")
            records += _records(schema, block, body, where, len(records))
        return records

    def _header(self, stream: BinaryIO, value: bytes) -> Header:
        """Read a header; the messages of a producer all begin alike, but for the marker that ends the header."""
        last = self._last  # read once: another thread may decode, too
        end = len(last.raw) if last else 0
        if last is None or len(value) < end or not value.startswith(last.raw[:-SYNC_BYTES]):
            self._last = last = read_header(stream)
            return last
        stream.seek(end)
        return Header(last.schema, last.codec, value[end - SYNC_BYTES : end], value[:end])


def _records(schema: Schema, block: Block, body: bytes, where: str, first: int) -> Iterator[AvroRecord]:
    """Yield the records of a block, the first of which has this number in the message."""
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
