"""Decompression of Avro blocks with a bound on the output and every checksum checked."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import cast

import cramjam
from isal import isal_zlib

from fulgor.errors import MalformedError

__all__ = ["MAX_BLOCK_BYTES", "InflateError", "decompress"]

#: What isal raises on damaged data; its type stubs call the class an instance.
InflateError = cast("type[Exception]", isal_zlib.error)

MAX_BLOCK_BYTES = 1 << 26
#: No block of alerts shrinks by more; a longer output is a bomb.
MAX_RATIO = 40
LEAST_LIMIT = 1 << 20


def _bound(payload: bytes) -> int:
    return min(MAX_BLOCK_BYTES, max(LEAST_LIMIT, MAX_RATIO * len(payload)))


def _null(payload: bytes) -> bytes:
    return payload


def _deflate(payload: bytes) -> bytes:
    limit = _bound(payload)
    inflater = isal_zlib.decompressobj(wbits=-15)
    body: bytes = inflater.decompress(payload, limit + 1)
    if len(body) > limit:
        raise ValueError(f"more than {limit} bytes")
    if not inflater.eof:
        raise ValueError("the compressed data end early")
    # fastavro cuts zlib's stream short and leaves three bytes of its Adler-32: a checksum for us.
    rest = inflater.unused_data
    if rest and zlib.adler32(body).to_bytes(4, "big")[: len(rest)] != rest:
        raise ValueError(f"{len(rest)} bytes behind the compressed data, which are not its Adler-32")
    return body


def _snappy(payload: bytes) -> bytes:
    packed, checksum = payload[:-4], payload[-4:]
    if cramjam.snappy.decompress_raw_len(packed) > _bound(payload):
        raise ValueError(f"more than {_bound(payload)} bytes")
    body = bytes(cramjam.snappy.decompress_raw(packed))
    found = zlib.crc32(body)
    if found != int.from_bytes(checksum, "big"):
        raise ValueError(f"the CRC-32 is {found:08x}, expected {checksum.hex()}")
    return body


def _zstandard(payload: bytes) -> bytes:
    room = bytearray(_bound(payload))
    size = cramjam.zstd.decompress_into(payload, room)
    return bytes(memoryview(room)[:size])


_CODECS: Mapping[str, Callable[[bytes], bytes]] = {
    "null": _null, "deflate": _deflate, "snappy": _snappy, "zstandard": _zstandard,
}  # fmt: skip


def decompress(codec: str, payload: bytes, where: str) -> bytes:
    """Return a block's records.

    Parameters
    ----------
    codec : str
        ``null``, ``deflate``, ``snappy`` or ``zstandard``.
    payload : bytes
        The block as written.
    where : str
        The block's place, for the error.

    Raises
    ------
    MalformedError
        The codec is another, the data are damaged, or they grow beyond the bound.
    """
    unpack = _CODECS.get(codec)
    if unpack is None:
        raise MalformedError(f"the codec {codec[:40]!r} is none of {', '.join(_CODECS)}", stage="container")
    try:
        return unpack(payload)
    except (ValueError, OverflowError, MemoryError, EOFError, InflateError, cramjam.DecompressionError) as error:
        raise MalformedError(
            f"damaged: {where} cannot be decompressed ({codec}): {error}", stage="container"
        ) from error
