"""Writer schemas: checked once, compiled once, kept by their bytes.

fastavro judges whether a schema is valid; the readers are compiled from what it returns. A version
field inside the message does not identify a schema (two different ones call themselves 3.3), so the
cache is keyed by the schema's own bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import fastavro.schema
from fastavro.schema import SchemaParseException, UnknownType

from fulgor.errors import MalformedError
from fulgor.preprocessing.avro.composites import ArrayReader, MapReader, UnionReader
from fulgor.preprocessing.avro.readers import EnumReader, FixedReader, Reader, primitive
from fulgor.preprocessing.avro.record import Field, RecordReader

__all__ = ["Projection", "Schema", "SchemaCache"]

#: Wanted fields by name; None wants the whole value, a mapping only those fields of the record that
#: the value is, or holds in a union, an array or a map.
Projection: TypeAlias = Mapping[str, "Projection | None"]

MAX_SCHEMA_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_TYPES = 10_000
MAX_FIXED_BYTES = 1 << 20
PATTERN_BYTES = 1 << 16
CACHED_SCHEMAS = 64

# What fastavro raises on schemas that are none, beside its own two.
_REFUSALS = (
    SchemaParseException, UnknownType, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Schema:
    """A writer schema ready to read with.

    Parameters
    ----------
    name : str
        Full name of the top-level record; empty where the top level is no record.
    fingerprint : bytes
        16 bytes that are equal for schemas of equal JSON, whatever its spacing and order of keys.
    reader : Reader
        Reads the wanted fields.
    """

    name: str
    fingerprint: bytes
    reader: Reader


class _Compiler:
    """Turns a parsed schema into readers, within bounds."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self.named = named
        self.open: set[str] = set()
        self.types_left = MAX_TYPES
        self.pattern_left = PATTERN_BYTES

    def _allow(self, size: int) -> bool:
        if size > self.pattern_left:
            return False
        self.pattern_left -= size
        return True

    def reader(self, schema: Any, wanted: Projection | None) -> Reader:
        """Return the reader of a schema; `wanted` is None for all of it."""
        self.types_left -= 1
        if self.types_left < 0:
            raise MalformedError(f"a schema of more than {MAX_TYPES} types", stage="schema")
        if isinstance(schema, list):
            return UnionReader([self.reader(branch, wanted) for branch in schema])
        if isinstance(schema, str):
            return primitive(schema) or self.reader(self.named[schema], wanted)
        make = self._complex.get(schema["type"])
        return make(self, schema, wanted) if make else self.reader(schema["type"], wanted)

    def _record(self, schema: Mapping[str, Any], wanted: Projection | None) -> Reader:
        name = schema["name"]
        if name in self.open:
            raise MalformedError(f"the schema's type {name} holds itself", stage="schema")
        self.open.add(name)
        fields = [self._field(field, wanted) for field in schema["fields"]]
        self.open.discard(name)
        return RecordReader(name, fields, self._allow)

    def _field(self, field: Mapping[str, Any], wanted: Projection | None) -> Field:
        name = field["name"]
        if wanted is None:
            return Field(name, self.reader(field["type"], None), wanted=True)
        return Field(name, self.reader(field["type"], wanted.get(name, {})), wanted=name in wanted)

    def _items(self, schema: Any, wanted: Projection | None) -> Reader:
        items = self.reader(schema, wanted)
        if items.minimum == 0:  # a count alone could then claim any number of them
            raise MalformedError("the schema has an array or map of values of no bytes", stage="schema")
        return items

    def _array(self, schema: Mapping[str, Any], wanted: Projection | None) -> Reader:
        return ArrayReader(self._items(schema["items"], wanted))

    def _map(self, schema: Mapping[str, Any], wanted: Projection | None) -> Reader:
        return MapReader(self._items(schema["values"], wanted))

    def _enum(self, schema: Mapping[str, Any], wanted: Projection | None) -> Reader:  # noqa: ARG002
        return EnumReader(schema["symbols"])

    def _fixed(self, schema: Mapping[str, Any], wanted: Projection | None) -> Reader:  # noqa: ARG002
        size = schema["size"]
        if not isinstance(size, int) or not 0 <= size <= MAX_FIXED_BYTES:
            raise MalformedError(f"the schema's fixed type has a size of {str(size)[:40]}", stage="schema")
        return FixedReader(size)

    _complex: Mapping[str, Callable[[_Compiler, Mapping[str, Any], Projection | None], Reader]] = {
        "record": _record, "error": _record, "array": _array, "map": _map, "enum": _enum, "fixed": _fixed,
    }  # fmt: skip


def _check_depth(schema: Any) -> None:
    """Refuse nesting that would exhaust the stack of a recursive parser."""
    level = [schema]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise MalformedError(f"the schema is nested more than {MAX_DEPTH} deep", stage="schema")


def _parse_json(text: bytes) -> Any:
    if len(text) > MAX_SCHEMA_BYTES:
        raise MalformedError(f"a schema of {len(text)} bytes, {MAX_SCHEMA_BYTES} are allowed", stage="schema")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"the schema is not JSON: {error}", stage="schema") from error


def compile_schema(text: bytes, projection: Projection) -> Schema:
    """Return a writer schema ready to read the wanted fields with.

    Parameters
    ----------
    text : bytes
        The schema's JSON, as in the container's header.
    projection : Projection
        The wanted fields.

    Raises
    ------
    MalformedError
        The text is not JSON, not a valid Avro schema, or goes beyond a bound of this module.
    """
    schema = _parse_json(text)
    _check_depth(schema)
    canonical = json.dumps(schema, sort_keys=True, separators=(",", ":")).encode()
    named: dict[str, Any] = {}
    try:
        parsed = fastavro.schema.parse_schema(schema, named_schemas=named, _write_hint=False)
        reader = _Compiler(named).reader(parsed, projection)
    except _REFUSALS as error:
        raise MalformedError(
            f"not a valid Avro schema: {type(error).__name__}: {error}"[:500], stage="schema"
        ) from error
    name = parsed.get("name", "") if isinstance(parsed, dict) else ""
    return Schema(name, hashlib.blake2b(canonical, digest_size=16).digest(), reader)


class SchemaCache:
    """Compiled schemas by their bytes; refused ones too, so that each is judged once.

    Parameters
    ----------
    projection : Projection
        The wanted fields.
    size : int
        How many schemas are kept.
    """

    def __init__(self, projection: Projection, size: int = CACHED_SCHEMAS) -> None:
        self._projection = projection
        self._judge = lru_cache(maxsize=size)(self._compile_or_refuse)

    def _compile_or_refuse(self, text: bytes) -> Schema | str:
        try:
            return compile_schema(text, self._projection)
        except MalformedError as error:
            return error.reason

    def __call__(self, text: bytes) -> Schema:
        """Return the compiled schema.

        Raises
        ------
        MalformedError
            See `compile_schema`.
        """
        verdict = self._judge(text)
        if isinstance(verdict, str):
            raise MalformedError(verdict, stage="schema")
        return verdict
