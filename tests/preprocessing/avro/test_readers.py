"""The readers against fastavro, over random schemas and values."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fulgor.errors import MalformedError
from fulgor.preprocessing.avro import BodyError
from fulgor.preprocessing.avro.readers import encode_varint, varint
from fulgor.preprocessing.avro.schema import PATTERN_BYTES, SchemaCache, compile_schema

# A busy machine may stop for any time at any place, and the same examples come in each run.
SURELY = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

_INT32 = st.integers(-(2**31), 2**31 - 1)
_INT64 = st.integers(-(2**63), 2**63 - 1)
_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": _INT32,
    "long": _INT64,
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(max_size=300),
    "string": st.text(max_size=150),
}


@st.composite
def _schema_and_value(draw: st.DrawFn, depth: int = 0) -> tuple[Any, st.SearchStrategy[Any]]:
    """A schema and the strategy of its values."""
    kinds = [*_PRIMITIVES] if depth > 2 else [*_PRIMITIVES, "optional", "optional", "array", "map", "record", "record"]
    kind = draw(st.sampled_from(kinds))
    if kind in _PRIMITIVES:
        return kind, _PRIMITIVES[kind]
    if kind == "optional":
        inner = draw(st.sampled_from([name for name in _PRIMITIVES if name != "null"]))
        order = draw(st.sampled_from([["null", inner], [inner, "null"]]))
        return order, st.none() | _PRIMITIVES[inner]
    if kind in ("array", "map"):
        item, values = draw(_schema_and_value(depth + 1))
        if item == "null" or (isinstance(item, dict) and not item.get("fields", True)):
            item, values = "int", _INT32
        if kind == "array":
            return {"type": "array", "items": item}, st.lists(values, max_size=4)
        return {"type": "map", "values": item}, st.dictionaries(st.text(max_size=5), values, max_size=3)
    return draw(_record(depth + 1))


@st.composite
def _record(draw: st.DrawFn, depth: int = 0) -> tuple[Any, st.SearchStrategy[Any]]:
    parts = draw(st.lists(_schema_and_value(depth), min_size=1, max_size=8))
    name = f"r{draw(st.uuids()).hex}"
    fields = [{"name": f"f{i}", "type": schema} for i, (schema, _) in enumerate(parts)]
    # The leading integer keeps records of nothing but nulls, which arrays may not hold, out of the way.
    fields.insert(0, {"name": "id", "type": "int"})
    values = st.fixed_dictionaries({"id": _INT32, **{f"f{i}": strategy for i, (_, strategy) in enumerate(parts)}})
    return {"type": "record", "name": name, "fields": fields}, values


def _encode(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


@settings(SURELY, max_examples=150)
@given(_record(), st.data())
def test_reads_what_fastavro_writes(made: tuple[Any, st.SearchStrategy[Any]], data: st.DataObject) -> None:
    schema, values = made
    value = data.draw(values)
    body = _encode(schema, value)
    expected = fastavro.schemaless_reader(io.BytesIO(body), fastavro.parse_schema(schema), None)
    whole = compile_schema(json.dumps(schema).encode(), dict.fromkeys(value)).reader
    assert whole.read(body, 0) == (expected, len(body))
    assert whole.skip(b"xyz" + body, 3) == len(body) + 3


@settings(SURELY, max_examples=150)
@given(_record(), st.data())
def test_a_projection_takes_out_the_wanted_and_consumes_the_rest(
    made: tuple[Any, st.SearchStrategy[Any]], data: st.DataObject
) -> None:
    schema, values = made
    value = data.draw(values)
    body = _encode(schema, value)
    full = fastavro.schemaless_reader(io.BytesIO(body), fastavro.parse_schema(schema), None)
    wanted = data.draw(st.sets(st.sampled_from(sorted(value))))
    found, end = compile_schema(json.dumps(schema).encode(), dict.fromkeys(wanted)).reader.read(body, 0)
    assert found == {name: full[name] for name in wanted}
    assert end == len(body)


@settings(SURELY, max_examples=200)
@given(_record(), st.data())
def test_damage_is_a_body_error_or_another_value_never_anything_else(
    made: tuple[Any, st.SearchStrategy[Any]], data: st.DataObject
) -> None:
    schema, values = made
    body = bytearray(_encode(schema, data.draw(values)))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    del body[data.draw(st.integers(0, len(body))) :]
    reader = compile_schema(json.dumps(schema).encode(), {"id": None, "f0": None}).reader
    try:
        _, end = reader.read(bytes(body), 0)
    except BodyError:
        return
    assert 0 <= end <= len(body)


@SURELY
@given(st.integers(0, 2**62))
def test_varint_round_trip(value: int) -> None:
    assert varint(encode_varint(value), 0) == (value, len(encode_varint(value)))


def test_an_error_says_field_place_and_cause() -> None:
    schema = {"type": "record", "name": "a", "fields": [
        {"name": "n", "type": "int"},
        {"name": "c", "type": {"type": "record", "name": "b", "fields": [{"name": "u", "type": ["null", "float"]}]}},
    ]}  # fmt: skip
    reader = compile_schema(json.dumps(schema).encode(), {"n": None, "c": {"u": None}}).reader
    with pytest.raises(BodyError, match=r"c\.u: branch 3 of a union of 2 types \(byte 1 of the block\)"):
        reader.read(b"\x02\x06\x00\x00\x00\x00", 0)
    with pytest.raises(BodyError, match=r"c\.u: a real number claims 4 bytes, 2 remain"):
        reader.read(b"\x02\x02\x00\x00", 0)


@pytest.mark.parametrize(
    ("kind", "body", "problem"),
    [
        ("int", b"\x80\x80\x80\x80\x80\x01", "does not fit its type"),
        ("long", b"\xff" * 10 + b"\x01", "more than 10 bytes"),
        ("string", b"\x04\xff\xfe", "not UTF-8"),
        ("string", b"\xfe\xff\xff\xff\x0f", "claims 2147483647 bytes, 0 remain"),
        ("bytes", b"\x01", "claims -1 bytes"),
        ("boolean", b"\x07", "a boolean of 7"),
        ({"type": "array", "items": "int"}, b"\xfe\xff\xff\xff\x0f", "claims 2147483647 items"),
        ({"type": "enum", "name": "e", "symbols": ["A"]}, b"\x02", "symbol 1 of an enumeration of 1"),
    ],
)
def test_impossible_values(kind: Any, body: bytes, problem: str) -> None:
    schema = {"type": "record", "name": "a", "fields": [{"name": "f", "type": kind}]}
    reader = compile_schema(json.dumps(schema).encode(), {"f": None}).reader
    with pytest.raises(BodyError, match=problem):
        reader.read(body, 0)


def test_an_empty_value_is_not_null() -> None:
    kinds = ["null", {"type": "fixed", "name": "f", "size": 0}]
    schema = {"type": "record", "name": "a", "fields": [{"name": "f", "type": kinds}]}
    reader = compile_schema(json.dumps(schema).encode(), {"f": None}).reader
    assert reader.read(b"\x02", 0) == ({"f": b""}, 1)
    assert reader.read(b"\x00", 0) == ({"f": None}, 1)


def _nested(depth: int) -> Any:
    schema: Any = "int"
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ("{", "not JSON"),
        (3, "not a valid Avro schema"),
        ({"type": "record"}, "name"),
        ({"type": "nope"}, "nope"),
        ({"type": "record", "name": "a", "fields": [{"name": "x", "type": "int", "default": None}]}, "Default value"),
        ({"type": "record", "name": "a", "fields": [{"name": "x", "type": ["null", "a"]}]}, "holds itself"),
        ({"type": "array", "items": "null"}, "no bytes"),
        ({"type": "array", "items": {"type": "record", "name": "e", "fields": []}}, "no bytes"),
        ({"type": "fixed", "name": "f", "size": 10**12}, "fixed type has a size of"),
        ({"type": "fixed", "name": "f", "size": -1}, "fixed type has a size of"),
        (_nested(60), "nested more than"),
    ],
)
def test_refused_schemas(schema: Any, problem: str) -> None:
    text = schema.encode() if isinstance(schema, str) else json.dumps(schema).encode()
    with pytest.raises(MalformedError, match=problem) as caught:
        compile_schema(text, {})
    assert caught.value.stage == "schema"


def test_a_schema_that_doubles_with_every_name_is_refused() -> None:
    schema: Any = {"type": "record", "name": "r0", "fields": [{"name": "x", "type": "int"}]}
    for level in range(1, 18):
        pair = [{"name": "a", "type": schema}, {"name": "b", "type": f"r{level - 1}"}]
        schema = {"type": "record", "name": f"r{level}", "fields": pair}
    with pytest.raises(MalformedError, match="more than"):
        compile_schema(json.dumps(schema).encode(), {})


def test_patterns_are_bounded_and_the_fields_beyond_are_still_read() -> None:
    count = PATTERN_BYTES // 1000
    fields = [{"name": f"s{i}", "type": "string"} for i in range(2 * count)]
    schema = {"type": "record", "name": "a", "fields": fields}
    value = {f"s{i}": str(i) for i in range(2 * count)}
    reader = compile_schema(json.dumps(schema).encode(), dict.fromkeys(value)).reader
    assert reader.read(_encode(schema, value), 0)[0] == value


def test_the_cache_keeps_verdicts_by_the_schema_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = SchemaCache({}, size=2)
    good = json.dumps({"type": "record", "name": "a", "fields": [{"name": "x", "type": "int"}]}).encode()
    first = cache(good)
    assert cache(bytes(bytearray(good))) is first
    assert cache(good.replace(b'"x"', b'"y"')).fingerprint != first.fingerprint
    assert cache(good.replace(b": ", b":")).fingerprint == first.fingerprint
    for _ in range(2):
        with pytest.raises(MalformedError, match="not JSON"):
            cache(b"{")
