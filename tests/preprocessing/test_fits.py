"""Stamps: the same bits as astropy, and a reason for each that cannot be read."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fulgor.preprocessing.fits import StampError, read_stamp

# A busy machine may stop for any time at any place, and the same examples come in each run.
SURELY = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def _astropy(data: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(io.BytesIO(data), ignore_missing_simple=True) as units:
            return np.array(units[0].data)


@pytest.fixture
def image(packets: Any) -> np.ndarray:
    pixels = packets.sky(1, (48, 63))
    pixels[3, 5], pixels[4, 4], pixels[0, 0] = np.nan, np.inf, -0.0
    return pixels


def test_gzip_and_raw(packets: Any, image: np.ndarray) -> None:
    raw = packets.fits_bytes(image, "DSNRMS  =     12.59 / ratio")
    for data, compressed in ((gzip.compress(raw), True), (raw, False)):
        stamp = read_stamp(data)
        assert stamp.compressed is compressed
        assert stamp.pixels.shape == (48, 63)
        assert stamp.pixels.dtype == np.float32
        assert stamp.pixels.dtype.isnative
        assert stamp.pixels.tobytes() == _astropy(raw).astype("<f4").tobytes() == image.tobytes()


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [("u1", None), (">i2", None), (">i4", None), (">f8", None), (">i2", (0.5, 100.0)), (">f4", (0.5, 100.0))],
)
def test_unusual_but_legal_images_go_through_astropy(dtype: str, scale: tuple[float, float] | None) -> None:
    pixels = (np.arange(12).reshape(3, 4) * 2).astype(dtype)
    unit = fits.PrimaryHDU(pixels)
    if scale:
        unit.header["BSCALE"], unit.header["BZERO"] = scale
    out = io.BytesIO()
    unit.writeto(out)
    found = read_stamp(out.getvalue()).pixels
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, _astropy(out.getvalue()).astype(np.float32))
    if scale:
        np.testing.assert_array_equal(found, pixels * 0.5 + 100)


def test_an_image_in_an_extension_and_a_long_header(image: np.ndarray) -> None:
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image)]).writeto(out)
    np.testing.assert_array_equal(read_stamp(out.getvalue()).pixels, image)
    unit = fits.PrimaryHDU(image)
    for i in range(80):
        unit.header[f"KEY{i}"] = i
    out = io.BytesIO()
    unit.writeto(out)
    np.testing.assert_array_equal(read_stamp(gzip.compress(out.getvalue())).pixels, image)


def _packed(packets: Any) -> bytes:
    return packets.stamp(packets.sky(2))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-8] + b"\0\0\0\0" + data[-4:], "damaged"),  # CRC-32
        (lambda data: data[:-4] + b"\0\0\0\0", "damaged"),  # ISIZE
        (lambda data: data[:-1], "end early"),
        (lambda data: data[:-8], "end early"),
        (lambda data: data[: len(data) // 2], "end early"),
        (lambda data: data + data, "bytes follow the gzip data"),
        (lambda data: data + b"x", "1 bytes follow the gzip data"),
        (lambda data: data[:2000] + data[2001:], "damaged|end early"),
        (lambda data: b"\x1f\x8b", "end early|damaged"),
        (lambda data: b"", "of no bytes"),
        (lambda data: gzip.decompress(data)[:-3000], "takes 18756 bytes"),
        (lambda data: gzip.decompress(data)[:1000], "header ends early"),
        (lambda data: gzip.compress(b"not a FITS file"), "not a FITS image"),
        (lambda data: gzip.compress(bytes(10**8)), "more than 1048576 bytes"),
        (lambda data: b"SIMPLE  =  T" + bytes(2 << 20), "at most 1048576 are read"),
    ],
)
def test_damage_is_named(packets: Any, damage: Any, reason: str) -> None:
    with pytest.raises(StampError, match=reason) as caught:
        read_stamp(damage(_packed(packets)))
    assert caught.value.kind == "damaged"


def test_zero_padding_behind_gzip_is_legal(packets: Any) -> None:
    assert read_stamp(_packed(packets) + bytes(7)).pixels.shape == (63, 63)


def test_a_jpeg_is_named() -> None:
    with pytest.raises(StampError, match="JPEG") as caught:
        read_stamp(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    assert caught.value.kind == "jpeg"


@pytest.mark.parametrize("cards", [("NAXIS", 0), ("NAXIS", 1), ("NAXIS", 3), ("NAXIS1", 0), ("BITPIX", 7)])
def test_headers_of_no_image(packets: Any, cards: tuple[str, int]) -> None:
    raw = bytearray(packets.fits_bytes(packets.sky(1)))
    keyword, value = cards
    at = next(i for i in range(0, 2880, 80) if raw[i : i + 8].rstrip() == keyword.encode())
    raw[at : at + 80] = f"{keyword:<8}= {value:>20}".ljust(80).encode()
    with pytest.raises(StampError):
        read_stamp(bytes(raw))


def test_a_bomb_takes_little_memory() -> None:
    bomb = gzip.compress(bytes(3 * 10**8), 9)
    tracemalloc.start()
    with pytest.raises(StampError):
        read_stamp(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


@settings(SURELY, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 2960), st.binary(max_size=3)), min_size=1, max_size=4), st.booleans(), st.data()
)
def test_mutations_raise_nothing_but_stamp_error(
    packets: Any, changes: list[tuple[int, bytes]], packed: bool, data: st.DataObject
) -> None:
    raw = bytearray(packets.fits_bytes(np.ones((9, 9), np.float32)))
    for at, found in changes:
        raw[at : at + len(found)] = found
    del raw[data.draw(st.integers(0, len(raw))) or len(raw) :]
    try:
        stamp = read_stamp(gzip.compress(bytes(raw)) if packed else bytes(raw))
    except StampError:
        return
    assert stamp.pixels.ndim == 2
