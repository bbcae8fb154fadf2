"""What a message looks like is named."""

from __future__ import annotations

import gzip

import pytest

from fulgor.errors import MalformedError
from fulgor.preprocessing.framing import Framing, confluent_parts, framing_of


def test_the_two_framings() -> None:
    assert framing_of(b"Obj\x01rest") is Framing.CONTAINER
    message = b"\x00\x00\x00\x02\xbdbody"
    assert framing_of(message) is Framing.CONFLUENT
    assert confluent_parts(message) == (701, b"body")


@pytest.mark.parametrize(
    ("value", "looks"),
    [
        (b"", "an empty message"),
        (b" \n", "only white space"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:97", "git LFS pointer"),
        (b'{"candid": 1}', "JSON"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"<html><body>502", "HTML"),
        (gzip.compress(b"Obj\x01"), "gzip"),
        (b"PAR1....", "a Parquet file"),
        (b"SIMPLE  =                    T", "a FITS file"),
        (b"\xff\xd8\xff\xe0..JFIF", "a JPEG image"),
        (b"\x93NUMPY\x01", "a NumPy file"),
        (b"PK\x03\x04", "a zip archive"),
        (b"x" * 257 + b"ustar\x00", "a tar archive"),
        (b"Obj\x02....", "an Avro container of another version"),
        (b"hello, world", "text"),
        (b"\xa2\x9a\xe5\xb2\xef\x90", "a bare Avro record"),
        (b"\x00\xff\xff\xff\xff body", "unknown data"),
        (b"\x00\x00\x00\x00\x00 body", "unknown data"),
        (b"\x00\x00\x00\x00\x07", "unknown data"),
    ],
)
def test_anything_else_is_named(value: bytes, looks: str) -> None:
    with pytest.raises(MalformedError, match=looks) as caught:
        framing_of(value)
    assert caught.value.stage == "framing"
