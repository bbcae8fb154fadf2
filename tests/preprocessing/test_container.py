"""Containers: whole ones read like fastavro does, damaged ones refused with the place and the cause."""

from __future__ import annotations

import io
import json
import time
import tracemalloc
import zlib
from typing import Any

import cramjam
import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fulgor.errors import MalformedError
from fulgor.preprocessing import records
from fulgor.preprocessing.avro.readers import encode_varint
from fulgor.preprocessing.container import Header, read_header, split_blocks
from fulgor.preprocessing.records import ContainerReader

# A busy machine may stop for any time at any place, and the same examples come in each run.
SURELY = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

SCHEMA: dict[str, Any] = {"type": "record", "name": "row", "fields": [
    {"name": "n", "type": "long"}, {"name": "x", "type": ["null", "float"]},
    {"name": "s", "type": "string"}, {"name": "raw", "type": "bytes"}]}  # fmt: skip
SYNC = b"0123456789abcdef"
ROWS = [{"n": i, "x": i / 2, "s": f"row {i}", "raw": bytes(range(200))} for i in range(20)]
LONGEST_S = 60.0
"""Of processor time, however busy the machine: what a claim could make of it would take hours."""
read = ContainerReader({"n": None, "x": None, "s": None, "raw": None})


def _container(codec: str = "null", interval: int = 1000, rows: Any = ROWS) -> bytes:
    out = io.BytesIO()
    fastavro.writer(out, SCHEMA, rows, codec=codec, sync_interval=interval, sync_marker=SYNC)
    return out.getvalue()


def _made(codec: str, payload: bytes, count: int = 1) -> bytes:
    """A container of one block, put together by hand."""
    header = b"Obj\x01" + encode_varint(2)
    for key, value in ((b"avro.schema", json.dumps(SCHEMA).encode()), (b"avro.codec", codec.encode())):
        header += encode_varint(len(key)) + key + encode_varint(len(value)) + value
    return header + b"\0" + SYNC + encode_varint(count) + encode_varint(len(payload)) + payload + SYNC


def _body() -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(SCHEMA), ROWS[0])
    return out.getvalue()


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
def test_every_codec_and_many_blocks(codec: str) -> None:
    records = read(_container(codec))
    assert [record.values for record in records] == ROWS
    assert [record.index for record in records] == list(range(20))


def test_zstandard() -> None:
    assert read(_made("zstandard", bytes(cramjam.zstd.compress(_body()))))[0].values == ROWS[0]


def test_the_hash_is_of_the_content_not_of_its_packing() -> None:
    hashes = [record.content_hash for record in read(_container())]
    assert len(set(hashes)) == 20
    assert all(len(digest) == 16 for digest in hashes)
    assert [record.content_hash for record in read(_container("deflate", 10**6))] == hashes
    other = ContainerReader({"n": None})
    assert [record.content_hash for record in other(_container("snappy"))] == hashes
    changed = [ROWS[0] | {"raw": b"other"}, *ROWS[1:]]
    assert read(_container(rows=changed))[0].content_hash != hashes[0]


def test_the_hash_tells_writer_schemas_apart() -> None:
    renamed = _container().replace(b'"x"', b'"y"')
    assert read(renamed)[0].content_hash != read(_container())[0].content_hash


def test_an_empty_container_has_no_records() -> None:
    assert read(_container(rows=[])) == []


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
@pytest.mark.parametrize("as_file", [False, True])
def test_split_blocks_decodes_to_the_same(codec: str, as_file: bool, tmp_path: Any) -> None:
    whole = _container(codec)
    if as_file:
        (tmp_path / "a.avro").write_bytes(whole)
        with (tmp_path / "a.avro").open("rb") as file:
            parts = list(split_blocks(file))
    else:
        parts = list(split_blocks(whole))
    assert len(parts) > 3
    assert [record.values for part in parts for record in read(part)] == ROWS
    assert [row for part in parts for row in fastavro.reader(io.BytesIO(part))] == ROWS
    header = read_header(io.BytesIO(whole))
    assert header.raw + b"".join(part[len(header.raw) :] for part in parts) == whole


def test_split_blocks_reads_a_stream_that_cannot_go_back() -> None:
    class OneWay(io.RawIOBase):
        def __init__(self) -> None:
            self.inner = io.BytesIO(_container())

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return self.inner.read(size)

    parts = list(split_blocks(OneWay()))
    assert parts == list(split_blocks(_container()))


def test_every_truncation_is_found() -> None:
    whole = _container(rows=ROWS[:3])
    header = len(read_header(io.BytesIO(whole)).raw)
    ends = {header, *(len(b"".join(_tails(whole)[: i + 1])) + header for i in range(len(_tails(whole))))}
    for size in range(len(whole)):
        if size in ends:  # a container cut between blocks is whole; nothing in the format tells its number of blocks
            read(whole[:size])
            continue
        with pytest.raises(MalformedError) as caught:
            read(whole[:size])
        assert caught.value.stage in ("container", "framing")


def _tails(whole: bytes) -> list[bytes]:
    header = len(read_header(io.BytesIO(whole)).raw)
    return [part[header:] for part in split_blocks(whole)]


def test_an_error_in_the_last_block_condemns_the_message() -> None:
    whole = _container()
    assert len(_tails(whole)) > 3
    with pytest.raises(MalformedError, match=r"block \d+ at byte \d+ .* does not end in the sync marker: expected"):
        read(whole[:-1] + b"?")


def test_a_lost_byte_is_counted() -> None:
    whole = _container(interval=10**6)
    with pytest.raises(MalformedError, match=r"1 byte missing in block 0 at byte .* its sync marker comes early"):
        read(whole[:-100] + whole[-99:])


def test_trailing_bytes_are_damage() -> None:
    with pytest.raises(MalformedError, match="block"):
        read(_container() + b"\x02")
    with pytest.raises(MalformedError, match=r"holds \d+ bytes, its 1 records take"):
        read(_made("null", _body() + b"\x00"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (_made("null", _body(), count=2), "data end within|remain"),
        (_made("null", _body(), count=0), "its 0 records take 0"),
        (_made("null", _body(), count=10**5), "claims 100000 records in"),
        (_made("null", _body(), count=10**8), "claims 100000000 records"),
        (_made("lzma", _body()), "the codec 'lzma' is none of null, deflate, snappy, zstandard"),
        (_made("deflate", b"\xff" * 30), "cannot be decompressed"),
        (_made("deflate", zlib.compress(_body())[2:-4] + b"abc"), "not its Adler-32"),
        (_made("deflate", zlib.compress(_body())[2:-10]), "end early"),
        (_made("deflate", zlib.compress(bytes(10**7))[2:-4]), "more than 1048576 bytes"),
        (_made("snappy", b"\xff\xff\xff\xff\x0f" + bytes(8)), "more than"),
        (_made("snappy", bytes(cramjam.snappy.compress_raw(_body())) + b"abcd"), "CRC-32"),
        (_made("snappy", b""), "cannot be decompressed"),
        (_made("zstandard", bytes(cramjam.zstd.compress(bytes(10**7)))), "cannot be decompressed"),
        (_made("zstandard", bytes(cramjam.zstd.compress(_body()))[:-3]), "cannot be decompressed"),
        (b"Obj\x01" + b"\xfe\xff\xff\xff\x0f", "claims 2147483647 entries"),
        (b"Obj\x01" + b"\x02" + b"\xfe\xff\xff\xff\x0f", "a key of the header .* claims"),
        (b"Obj\x01" + b"\x00" + SYNC, "holds no avro.schema"),
        (b"Obj\x01" + b"\xff" * 12, "is no integer"),
        (b"Obj\x01", "truncated"),
    ],
)
def test_damage_is_named(value: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason) as caught:
        read(value)
    assert caught.value.stage == "container"


@settings(SURELY, max_examples=300)
@given(
    st.sampled_from(["null", "deflate", "snappy"]),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=0, max_size=4), st.integers(0, 4)), min_size=1, max_size=4),
    st.floats(0.3, 1),
)
def test_mutations_raise_nothing_but_malformed_error(
    codec: str, changes: list[tuple[float, bytes, int]], kept: float
) -> None:
    value = bytearray(_container(codec, interval=1500, rows=ROWS[:8]))
    for where, inserted, removed in changes:
        at = int(where * len(value))
        value[at : at + removed] = inserted
    if kept < 0.9:
        del value[int(kept * len(value)) :]
    reader = ContainerReader({"n": None, "s": None})
    started = time.process_time()
    stage, records = "", []
    try:
        records = reader(bytes(value))
    except MalformedError as error:
        stage = error.stage
    assert stage in ("", "framing", "container", "schema")
    assert all(isinstance(record.values, dict) for record in records)
    assert time.process_time() - started < LONGEST_S


def test_a_thread_that_decodes_meanwhile_changes_no_header() -> None:
    plain, packed = _container(), _container("snappy")

    class Overtaken(ContainerReader):
        """Each time that it looks at its last header, or keeps one, another thread decodes a container."""

        @property
        def _last(self) -> Header | None:  # type: ignore[override]
            found, self.__dict__["last"] = self.__dict__.get("last"), PACKED
            return found

        @_last.setter
        def _last(self, header: Header | None) -> None:
            self.__dict__["last"] = header and PACKED

    PACKED = read_header(io.BytesIO(packed))
    reader = Overtaken({"n": None})
    for value in (plain, packed, plain, plain):
        assert [record.values["n"] for record in reader(value)] == list(range(20))


def test_many_blocks_each_within_its_bound_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    value = _container("deflate", interval=1, rows=[{**ROWS[0], "raw": bytes(10_000)}] * 9)
    assert len(read(value)) == 9
    monkeypatch.setattr(records, "MAX_BODY_BYTES", 50_000)
    with pytest.raises(MalformedError, match=r"up to block 4 at byte \d+ more than 50000 bytes unpacked"):
        read(value)


@pytest.mark.parametrize(
    "value",
    [
        _made("deflate", zlib.compress(bytes(2 * 10**8))[2:-4]),
        _made("snappy", b"\xff\xff\xff\xff\x0f" + bytes(1000)),
        _made("zstandard", bytes(cramjam.zstd.compress(bytes(2 * 10**8)))),
        b"Obj\x01" + encode_varint(1) + encode_varint(11) + b"avro.schema" + encode_varint(10**12),
        _made("null", encode_varint(10**15)),
    ],
)
def test_a_claim_of_much_takes_little_memory_and_time(value: bytes) -> None:
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(MalformedError):
            read(value)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * len(value) + (4 << 20)
    assert time.process_time() - started < LONGEST_S
