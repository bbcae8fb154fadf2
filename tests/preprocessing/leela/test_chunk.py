"""Messages to chunks: every way that samples and intervals come in, and what is refused."""

from __future__ import annotations

import io
import pickle

import fastavro
import numpy as np
import pytest

from fulgor.errors import MalformedError, NotThisStreamError
from fulgor.preprocessing.leela import CHUNK_SCHEMA, LeelaDecoder
from fulgor.preprocessing.leela.chunk import chunk_of
from fulgor.preprocessing.records import AvroRecord


def written(record: dict, schema: dict = CHUNK_SCHEMA) -> bytes:
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema(schema), [record])
    return out.getvalue()


def schema_with(kind: object, interval: str = "smplint") -> dict:
    fields = [
        {**field, "type": kind} if field["name"] == "wvfmdata" else field
        for field in CHUNK_SCHEMA["fields"]
        if field["name"] != "dtype"
    ]
    fields = [{**field, "name": interval} if field["name"] == "smplint" else field for field in fields]
    return {**CHUNK_SCHEMA, "fields": fields}


def decoded(record: dict):
    return chunk_of(AvroRecord(0, record, b""))


def test_a_chunk_comes_back_as_it_was_sent(record):
    [chunk] = LeelaDecoder()(written(record))
    assert chunk.start_ns == record["starttime"]
    assert chunk.rx_ns == 1_700_000_003_000_000_000
    assert chunk.interval_ns == pytest.approx(9142.859755)
    np.testing.assert_array_equal(chunk.samples, np.frombuffer(record["wvfmdata"], "<i2"))


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("interval", ["smplint", "sampleinterval"])
def test_arrays_and_the_older_name_give_the_same_chunk(record, kind, interval):
    samples = np.frombuffer(record["wvfmdata"], "<i2").astype(float).tolist()
    other = {**record, interval: record["smplint"], "wvfmdata": samples}
    [chunk] = LeelaDecoder()(written(other, schema_with({"type": "array", "items": kind}, interval)))
    [same] = LeelaDecoder()(written(record))
    assert chunk.id == same.id
    assert chunk.content_hash == same.content_hash


def test_ids_depend_on_content_and_not_on_reception(record):
    chunk = decoded(record)
    assert decoded({**record, "rxtime": 1.7e15}).id == chunk.id
    jumped = np.frombuffer(record["wvfmdata"], "<i2") + 1
    assert decoded({**record, "wvfmdata": jumped.astype("<i2").tobytes()}).id != chunk.id


def test_an_unbelievable_measured_interval_is_not_used(record):
    assert decoded({**record, "realsmplint": 1e-5}).interval_ns == pytest.approx(9142.857)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"smplint": 0.0}, "interval"),
        ({"smplint": -9e-6}, "interval"),
        ({"smplint": float("nan")}, "interval"),
        ({"smplint": 1.0}, "interval"),
        ({"numsmpls": 1000}, "1000"),
        ({"dtype": ">f8"}, "dtype"),
        ({"dtype": "O"}, "dtype"),
        ({"wvfmdata": b"123"}, "multiple"),
        ({"wvfmdata": b"", "numsmpls": 0}, "0 samples"),
        ({"wvfmdata": bytes(4 * 70_000), "numsmpls": None}, "140000 samples"),
        ({"wvfmdata": ["a", "b"]}, "numbers"),
        ({"site": "", "node": ""}, "neither site nor node"),
        ({"site": "x" * 100}, "site"),
        ({"site": "a\0b"}, "site"),
        ({"starttime": None}, "starttime"),
        ({"starttime": 2**70}, "starttime"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(record, change, reason):
    with pytest.raises(MalformedError, match=reason):
        decoded({**record, **change})


def test_another_surveys_record_is_told_apart(record):
    del record["wvfmdata"]
    with pytest.raises(NotThisStreamError, match="wvfmdata"):
        decoded(record)


def test_a_pickle_is_named_and_never_read():
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    with pytest.raises(MalformedError, match="never unpickled"):
        LeelaDecoder()(pickle.dumps(Trap()))


def test_one_bad_chunk_costs_its_neighbours_nothing(record):
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema(CHUNK_SCHEMA), [record, {**record, "smplint": 0.0}, record])
    first, bad, last = LeelaDecoder()(out.getvalue())
    assert isinstance(bad, MalformedError)
    assert first.id == last.id
