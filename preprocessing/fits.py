"""FITS image stamps to arrays: a fast path for what surveys send, astropy for the unusual but legal.

The fast path takes a primary image of 32-bit reals in two dimensions without scaling, raw or in one
gzip member whose CRC-32 and length are checked. It gives the same bits as `astropy.io.fits`.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from fulgor.preprocessing.codecs import InflateError

__all__ = ["MAX_STAMP_BYTES", "Stamp", "StampError", "read_stamp"]

#: A stamp of 63 pixels takes 20,160 bytes; nothing that comes near this bound is one.
MAX_STAMP_BYTES = 1 << 20
BLOCK = 2880
CARD = 80
GZIP_START = b"\x1f\x8b"
FITS_START = b"SIMPLE  ="
JPEG_START = b"\xff\xd8\xff"
GZIP_WINDOW = 31
SCALING = (b"BSCALE", b"BZERO", b"BLANK", b"GROUPS", b"XTENSION")


class StampError(ValueError):
    """A stamp that cannot become an image.

    Parameters
    ----------
    reason : str
        What it is instead, or what is damaged.
    kind : str
        ``damaged`` or ``jpeg``.
    """

    def __init__(self, reason: str, kind: str = "damaged") -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Stamp:
    """An image.

    Parameters
    ----------
    pixels : ndarray of float32, shape (rows, columns)
        In native byte order; NaN where the survey has no value. Rows are FITS axis 2.
    compressed : bool
        Whether it came gzip-compressed.
    """

    pixels: NDArray[np.float32]
    compressed: bool


def _gunzip(packed: bytes) -> bytes:
    inflater = isal_zlib.decompressobj(wbits=GZIP_WINDOW)
    try:
        raw: bytes = inflater.decompress(packed, MAX_STAMP_BYTES + 1)
    except (InflateError, ValueError, EOFError) as error:
        raise StampError(f"the gzip data are damaged: {error}") from error
    if len(raw) > MAX_STAMP_BYTES:
        raise StampError(f"more than {MAX_STAMP_BYTES} bytes when decompressed")
    if not inflater.eof:
        raise StampError(f"the gzip data end early, after {len(raw)} bytes of the image")
    if inflater.unused_data.strip(b"\0"):
        raise StampError(f"{len(inflater.unused_data)} bytes follow the gzip data")
    return raw


def _integer(card: bytes) -> int | None:
    """Return the value of a card where it is an integer."""
    text = card[10:].split(b"/", 1)[0].strip()
    digits = text[1:] if text[:1] in b"+-" else text
    return int(text) if digits.isdigit() and len(digits) < 10 else None


@lru_cache(maxsize=256)
def _plain_shape(block: bytes) -> tuple[int, int] | None:
    """Return rows and columns where a header block describes a plain image; None where astropy has to judge."""
    if block[10:CARD].split(b"/", 1)[0].strip() != b"T":
        return None
    values: dict[bytes, int | None] = {}
    for at in range(0, len(block), CARD):
        card = block[at : at + CARD]
        keyword = card[:8].rstrip()
        if keyword == b"END":
            break
        if keyword in SCALING or keyword in values:
            return None
        if keyword in (b"BITPIX", b"NAXIS", b"NAXIS1", b"NAXIS2"):
            values[keyword] = _integer(card)
    else:
        return None
    columns, rows = values.get(b"NAXIS1"), values.get(b"NAXIS2")
    if values.get(b"BITPIX") != -32 or values.get(b"NAXIS") != 2 or not columns or not rows:
        return None
    return (rows, columns) if 0 < rows < 10_000 and 0 < columns < 10_000 else None


def _by_astropy(raw: bytes) -> NDArray[np.float32]:
    from astropy.io import fits  # slow to import and seldom needed

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(
                io.BytesIO(raw), ignore_missing_simple=True, memmap=False, disable_image_compression=True
            ) as units:
                pixels = next((unit.data for unit in units if unit.is_image and unit.data is not None), None)
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError) as error:
        raise StampError(f"astropy cannot read the image: {type(error).__name__}: {error}"[:300]) from error
    if pixels is None or pixels.ndim != 2:
        raise StampError("no two-dimensional image" if pixels is None else f"an image of shape {pixels.shape}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(pixels, dtype=np.float32)


def _image(raw: bytes) -> NDArray[np.float32]:
    if not raw.startswith(FITS_START):
        raise StampError(f"not a FITS image: it starts with {raw[:12]!r}")
    if len(raw) < BLOCK:
        raise StampError(f"the FITS header ends early, after {len(raw)} bytes")
    shape = _plain_shape(raw[:BLOCK])
    if shape is None:
        return _by_astropy(raw)
    rows, columns = shape
    size = rows * columns
    if len(raw) < BLOCK + 4 * size:
        raise StampError(f"an image of {rows}x{columns} takes {BLOCK + 4 * size} bytes, {len(raw)} found")
    return np.frombuffer(raw, ">f4", size, BLOCK).astype(np.float32).reshape(rows, columns)


def read_stamp(data: bytes) -> Stamp:
    """Return the image of a stamp.

    Parameters
    ----------
    data : bytes
        A FITS image, raw or gzip-compressed.

    Raises
    ------
    StampError
        It is damaged, or no FITS image.
    """
    if data.startswith(GZIP_START):
        return Stamp(_image(_gunzip(data)), compressed=True)
    if data.startswith(JPEG_START):
        raise StampError("a JPEG image, which holds no fluxes", kind="jpeg")
    if not data:
        raise StampError("of no bytes")
    if len(data) > MAX_STAMP_BYTES:
        raise StampError(f"{len(data)} bytes, at most {MAX_STAMP_BYTES} are read")
    return Stamp(_image(data), compressed=False)
