"""An alert's own time, read from the message without decoding the rest."""

from __future__ import annotations

import io
import json
import math
from functools import lru_cache
from typing import Any, Final

from fulgor.errors import MalformedError
from fulgor.preprocessing.avro import BodyError, Projection, SchemaCache
from fulgor.preprocessing.codecs import decompress
from fulgor.preprocessing.container import read_blocks, read_header

__all__ = ["BeginningReader", "alert_time_ms", "jd_to_ms", "ns_to_ms"]

JD_OF_UNIX_EPOCH: Final = 2_440_587.5
MS_PER_DAY: Final = 86_400_000
_NS_PER_MS: Final = 1_000_000
LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999: what databases and date types can hold."""


def jd_to_ms(jd: float) -> int | None:
    """Return a Julian date as Unix ms; None before 1970, after 9999 and for what is no number."""
    if not math.isfinite(jd):
        return None
    time_ms = round((jd - JD_OF_UNIX_EPOCH) * MS_PER_DAY)
    return time_ms if 0 <= time_ms <= LATEST_MS else None


def ns_to_ms(time_ns: int) -> int | None:
    """Return Unix ns as ms; None before 1970 and after 9999."""
    time_ms = time_ns // _NS_PER_MS
    return time_ms if 0 <= time_ms <= LATEST_MS else None


def alert_time_ms(value: bytes) -> int | None:
    """Return the time of a message's first alert.

    Parameters
    ----------
    value : bytes
        The message.

    Returns
    -------
    int or None
        ``candidate.jd`` (LEELA: ``starttime``) of the first record in Unix ms; None where the message is no Avro
        container, is damaged, or has no such field: whether it is sound is for the consumer to judge.
    """
    try:
        record, _ = _time_reader(value)
    except (MalformedError, BodyError):
        return None
    start_ns = record.get("starttime") if isinstance(record, dict) else None
    if isinstance(start_ns, int) and (time_ms := ns_to_ms(start_ns)) is not None:
        return time_ms
    candidate = record.get("candidate") if isinstance(record, dict) else None
    jd = candidate.get("jd") if isinstance(candidate, dict) else None
    return jd_to_ms(jd) if isinstance(jd, float | int) else None


class BeginningReader:
    """Reads the first record of a container no further than to some field.

    Parameters
    ----------
    wanted : Projection
        Fields to read.
    path : tuple of str
        The last of them in the writers' order, from the record down.
    """

    def __init__(self, wanted: Projection, path: tuple[str, ...]) -> None:
        self._schemas = SchemaCache(wanted)
        self._path = path

    def __call__(self, value: bytes) -> tuple[Any, int]:
        """Return the record, None where there is none, and the number of records that the container claims.

        Raises
        ------
        MalformedError
            It is no container, or damaged.
        BodyError
            The record does not follow its schema.
        """
        stream = io.BytesIO(value)
        header = read_header(stream)
        schema = self._schemas(_beginning(header.schema, self._path))
        blocks = [block for block in read_blocks(stream, header) if block.count]
        if not blocks:
            return None, 0
        body = decompress(header.codec, blocks[0].payload, "the first block")
        return schema.reader.read(body, 0)[0], sum(block.count for block in blocks)


_time_reader: Final = BeginningReader({"candidate": {"jd": None}, "starttime": None}, ("candidate", "jd"))


@lru_cache(maxsize=64)
def _beginning(text: bytes, path: tuple[str, ...]) -> bytes:
    """Return a writer schema cut after the wanted field, to read no more of a record than needed."""
    try:
        return json.dumps(_cut(json.loads(text), path)).encode()
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"the schema is not JSON: {error}", stage="schema") from error


def _cut(schema: Any, path: tuple[str, ...]) -> Any:
    if isinstance(schema, list):  # a union
        return [_cut(branch, path) for branch in schema]
    if not isinstance(schema, dict) or not isinstance(schema.get("fields"), list):
        return schema
    kept: list[Any] = []
    for field in schema["fields"]:
        kept.append(field)
        if isinstance(field, dict) and field.get("name") == path[0]:
            kept[-1] = field | ({"type": _cut(field.get("type"), path[1:])} if path[1:] else {})
            break
    return schema | {"fields": kept}
