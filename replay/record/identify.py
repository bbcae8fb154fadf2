"""Who is in a message: the ids and times that the index is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from fulgor.consumer.stream import Record, Stream
from fulgor.errors import MalformedError
from fulgor.preprocessing.avro import BodyError
from fulgor.preprocessing.records import ContainerReader
from fulgor.replay.alerttime import BeginningReader, jd_to_ms

__all__ = ["Identifies", "Identify", "Identity", "identify_by", "identify_nothing", "identify_ztf"]


class Identity(NamedTuple):
    """An alert of a message; what cannot be had is None.

    `time_ms` is the alert's own time in Unix ms, `record` its number in the message.
    """

    alert: str | None
    object: str | None
    time_ms: int | None
    record: int


Identify = Callable[[bytes], Sequence[Identity]]
"""Returns the alerts of a message; none where it cannot be decoded, which is for the consumer to judge."""

_WANTED: Final = {"objectId": None, "candid": None, "candidate": {"candid": None, "jd": None}}
_read_one: Final = BeginningReader(_WANTED, ("candidate",))
_read_all: Final = ContainerReader(_WANTED)


def identify_ztf(value: bytes) -> list[Identity]:
    """Return the alerts of a ZTF packet, decoding no more of it than their ids and times."""
    try:
        record, count = _read_one(value)
        if count == 1 and isinstance(record, dict) and "objectId" in record:
            return [_ztf_identity(record, 0)]
        return [_ztf_identity(record.values, record.index) for record in _read_all(value)]
    except (MalformedError, BodyError):
        return []


def _ztf_identity(values: Any, record: int) -> Identity:
    values = values if isinstance(values, dict) else {}
    candidate = values.get("candidate")
    candidate = candidate if isinstance(candidate, dict) else {}
    candid, name, jd = candidate.get("candid", values.get("candid")), values.get("objectId"), candidate.get("jd")
    return Identity(
        str(candid) if isinstance(candid, int) else None,
        name if isinstance(name, str) else None,
        jd_to_ms(jd) if isinstance(jd, float | int) else None,
        record,
    )


@runtime_checkable
class Identifies(Protocol):
    """What a stream may offer beside `prepare`: who is in a record, without the work of preparing it."""

    def identify(self, record: Record) -> Sequence[tuple[str, str, int | None]]:
        """Return id, object and time (Unix ms; None for an impossible one) of what a record's rows are found by."""
        ...


def identify_by(stream: Stream) -> Identify:
    """Return what finds the alerts of any instrument: as the stream offers, else by preparing it."""
    find = stream.identify if isinstance(stream, Identifies) else partial(_prepared, stream)

    def identify(value: bytes) -> list[Identity]:
        found: list[Identity] = []
        with suppress(MalformedError):
            for number, record in enumerate(stream.decode(value)):
                if not isinstance(record, MalformedError):
                    with suppress(MalformedError):
                        found += [Identity(*each, number) for each in find(record)]
        return found

    return identify


def _prepared(stream: Stream, record: Record) -> list[tuple[str, str, int]]:
    return [(item.alert, item.object, round(item.time.timestamp() * 1000)) for item in stream.prepare(record)]


def identify_nothing(value: bytes) -> list[Identity]:  # noqa: ARG001 - one of several of its kind
    """Return no alerts: for topics that no installed stream decodes."""
    return []
