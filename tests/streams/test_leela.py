"""A chunk's items: one for itself, one for each pulse, with what the views show."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fulgor.consumer.settings import Settings
from fulgor.errors import SettingsError
from fulgor.preprocessing.leela import LeelaFlag
from fulgor.preprocessing.leela.chunk import LeelaChunk
from fulgor.streams.leela import LEELA, pack_samples, unpack_samples

NAMES = [column.name for column in LEELA.table.columns]


def chunk(start_ns: int = 1_700_000_000_123_456_789, node: str = "N1") -> LeelaChunk:
    steps = np.arange(1024)
    samples = np.random.default_rng(0).normal(0, 10, 1024)
    for at, height in ((300, 400.0), (700, -250.0)):
        samples += height * np.exp(-0.5 * ((steps - at) / 5) ** 2) * np.cos(0.55 * (steps - at))
    return LeelaChunk(
        "Ashby", node, start_ns, None, None, 9142.86, 4, 5, False, samples.round() - 290, b"0123456789abcdef"
    )


@pytest.fixture(scope="module")
def stream() -> LEELA:
    return LEELA(Settings())


def test_a_chunk_and_its_pulses(stream):
    whole, first, second = stream.prepare(chunk())
    assert [first.alert, second.alert] == [f"{whole.alert}#1", f"{whole.alert}#2"]
    assert whole.object == first.object == "Ashby"
    row = dict(zip(NAMES, whole.columns, strict=True))
    assert row["pulses"] == 2
    assert row["pulse"] is row["pulse_id"] is row["window"] is None
    np.testing.assert_array_equal(unpack_samples(row["samples"], 1024), chunk().samples)
    pulse = dict(zip(NAMES, second.columns, strict=True))
    assert pulse["chunk"] == whole.alert
    assert (pulse["pulse"], pulse["polarity"], pulse["revision"]) == (2, -1, 0)
    assert pulse["samples"] is None
    assert pulse["pulse_ns"] == second.time_ns
    assert pulse["pulse_ns"] == pytest.approx(chunk().start_ns + 700 * 9142.86, abs=5000)
    window = np.frombuffer(pulse["window"], "<f2")
    assert len(window) == 256
    assert np.abs(window[124:133]).max() == pytest.approx(pulse["amplitude"], rel=0.01)


def test_times_keep_their_nanoseconds(stream):
    whole, *_ = stream.prepare(chunk())
    assert whole.time_ns == 1_700_000_000_123_456_789
    assert whole.time == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)


def test_one_pulse_in_two_overlapping_chunks_has_one_id(stream):
    shifted = 128 * 9142.86
    one = chunk()
    other = LeelaChunk(
        "Ashby", "N1", one.start_ns + round(shifted), None, None, 9142.86, 4, 5, False,
        np.concatenate([one.samples[128:], np.full(128, -290.0)]), b"another chunk's!",
    )  # fmt: skip
    ids = [
        {dict(zip(NAMES, item.columns, strict=True))["pulse_id"] for item in stream.prepare(each)[1:]}
        for each in (one, other)
    ]
    assert len(ids[0]) == 2
    assert ids[0] <= ids[1]


def test_an_unknown_node_is_flagged(tmp_path: Path):
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps({"N1": {"Site": "Ashby", "Position": {"lat": 52, "lon": 1}}}))
    stream = LEELA(Settings(nodes=path))
    assert not stream.prepare(chunk())[0].flags & LeelaFlag.UNKNOWN_NODE
    assert all(item.flags & LeelaFlag.UNKNOWN_NODE for item in stream.prepare(chunk(node="N2")))
    path.write_text("[]")
    with pytest.raises(SettingsError, match="receivers"):
        LEELA(Settings(nodes=path))


def test_a_time_that_no_calendar_holds_is_stored_as_impossible(stream):
    whole, *_ = stream.prepare(chunk(start_ns=-(2**62) * 2 + 1))
    assert whole.time.year in range(1, 1700)
    assert whole.time_ns is None or whole.time_ns < 0


@pytest.mark.parametrize("samples", [[1.0, -2.0, 300.0], [0.5, 1.0, 2.0], [1e39, 0.0, -1e39], [40_000.0, 1.0, 2.0]])
def test_samples_are_packed_without_loss_where_that_can_be(samples):
    back = unpack_samples(pack_samples(np.array(samples)), 3)
    np.testing.assert_allclose(back, np.clip(samples, -3.4028235e38, 3.4028235e38), rtol=1e-6)
