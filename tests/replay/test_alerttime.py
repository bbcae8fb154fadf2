from __future__ import annotations

import io

import fastavro
import pytest

from fulgor.replay.alerttime import alert_time_ms, jd_to_ms

from .conftest import container


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
def test_the_first_alerts_time_whatever_the_codec(codec: str) -> None:
    assert alert_time_ms(container(3, jd=2_459_945.75, codec=codec)) == 1_672_552_800_000


@pytest.mark.parametrize("schema", ["null", "flat", "text"])
def test_no_time_where_there_is_none(schema: str) -> None:
    kinds = {
        "null": (["null", "double"], None),
        "flat": ("double", 1.0),
        "text": ("string", "2023-01-01"),
    }
    kind, value = kinds[schema]
    field = {"name": "jd", "type": kind}
    candidate = {"name": "candidate", "type": {"type": "record", "name": "candidate", "fields": [field]}}
    fields = [field] if schema == "flat" else [candidate]
    record = {"jd": value} if schema == "flat" else {"candidate": {"jd": value}}
    file = io.BytesIO()
    fastavro.writer(file, fastavro.parse_schema({"type": "record", "name": "alert", "fields": fields}), [record])
    assert alert_time_ms(file.getvalue()) is None


@pytest.mark.parametrize("value", [b"", b"Obj\x01", b"\x00\x00\x00\x00\x01body", container()[:-40], container(0)])
def test_no_time_of_what_cannot_be_read(value: bytes) -> None:
    assert alert_time_ms(value) is None


@pytest.mark.parametrize(
    ("jd", "time_ms"),
    [
        (2_440_587.5, 0),
        (2_440_587.4, None),
        (2_451_545.0, 946_728_000_000),
        (5_373_484.5, None),  # the year 10000
        (float("nan"), None),
        (float("inf"), None),
        (-999.0, None),
    ],
)
def test_julian_dates(jd: float, time_ms: int | None) -> None:
    assert jd_to_ms(jd) == time_ms
