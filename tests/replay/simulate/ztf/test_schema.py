from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest

from fulgor.replay.simulate.ztf import ALERT_SCHEMA, encode, simulate

REAL = "data/ztf/packets/boom/2752190655615010016.avro"


def bare(schema: Any) -> Any:
    """A schema without its documentation."""
    if isinstance(schema, dict):
        return {name: bare(value) for name, value in schema.items() if name != "doc"}
    return [bare(entry) for entry in schema] if isinstance(schema, list) else schema


@pytest.mark.real
def test_schema_is_that_of_a_real_packet(shared: Path):
    with (shared / REAL).open("rb") as packet:
        real = json.loads(fastavro.reader(packet).metadata["avro.schema"])
    assert bare(real) == ALERT_SCHEMA


@pytest.mark.real
def test_messages_hold_what_real_ones_hold(shared: Path):
    with (shared / REAL).open("rb") as packet:
        real = next(iter(fastavro.reader(packet)))
    simulated = next(alert.record for alert in simulate(20, 3) if alert.record["prv_candidates"])
    for name, value in real["candidate"].items():
        assert isinstance(simulated["candidate"][name], type(value)), name
    assert real["cutoutScience"].keys() == simulated["cutoutScience"].keys()


def test_containers_are_read_back_by_another_reader_unchanged():
    records = [alert.record for alert in simulate(12, 5)]
    reader = fastavro.reader(io.BytesIO(encode(records)))
    back = list(reader)
    assert reader.codec == "null"
    assert [record["candid"] for record in back] == [record["candid"] for record in records]
    assert [record["cutoutTemplate"] for record in back] == [record["cutoutTemplate"] for record in records]
    assert [record["candidate"]["ra"] for record in back] == [record["candidate"]["ra"] for record in records]


def test_message_size_is_about_that_of_the_survey(alerts):
    sizes = sorted(len(encode([alert.record])) for alert in alerts[:100])
    assert 50_000 < sizes[50] < 75_000
    assert sizes[0] > 35_000
