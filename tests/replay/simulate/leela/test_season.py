"""The simulated network: reproducible, contiguous where it says so, and true to its own truth."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fulgor.errors import SettingsError
from fulgor.preprocessing.leela import LeelaDecoder, prepare
from fulgor.preprocessing.leela.chunk import chunk_of
from fulgor.preprocessing.leela.nodes import read_nodes
from fulgor.preprocessing.records import AvroRecord
from fulgor.replay.archive import open_archive
from fulgor.replay.simulate.leela import CLASSES, SimulatedChunk, simulate, write_archive


@pytest.fixture(scope="module")
def night() -> list[SimulatedChunk]:
    return list(simulate(160, 7, site_count=5, rate=1.2))


def of(chunk: SimulatedChunk):
    return chunk_of(AvroRecord(0, chunk.record, b""))


def test_the_same_seed_gives_the_same_chunks(night):
    again = list(simulate(20, 7, site_count=5, rate=1.2))
    assert [chunk.record for chunk in again] == [chunk.record for chunk in night[:20]]


def test_all_classes_occur_and_no_chunk_twice(night):
    assert set(Counter(chunk.label for chunk in night)) <= set(CLASSES)
    assert len(Counter(chunk.label for chunk in night)) >= 5
    assert len({of(chunk).id for chunk in night}) == len(night)


def test_some_chunks_come_late_and_most_in_order(night):
    backwards = 0
    for site in {chunk.record["site"] for chunk in night}:
        starts = [chunk.record["starttime"] for chunk in night if chunk.record["site"] == site]
        backwards += int((np.diff(starts) < 0).sum())
    assert 0 < backwards / len(night) < 0.12
    times = [chunk.delivered_ns for chunk in night]
    assert sum(a > b for a, b in pairwise(times)) <= 3  # only from one stretch to the next


def test_pulses_are_found_where_the_truth_says(night):
    found = missed = 0
    for chunk in night:
        if chunk.label not in ("single", "skywave", "train"):
            continue
        places = [pulse.peak_at for pulse in prepare(of(chunk)).pulses]
        for arrival, peak in zip(chunk.seen, chunk.peaks, strict=True):
            if arrival.amplitude > 120 and 20 < peak < 1000:
                near = [place for place in places if abs(place - peak) < 5]
                found, missed = found + bool(near), missed + (not near)
    assert found > 10
    assert missed <= 0.15 * found


def test_contiguous_chunks_have_no_seam(night):
    by_start = {(chunk.record["site"], chunk.record["starttime"]): of(chunk) for chunk in night if not chunk.seen}
    jumps, steps = [], []
    for (site, start), chunk in by_start.items():
        for drift in (-1, 0, 1):
            after = by_start.get((site, start + round(1024 * 9142.859755) + drift))
            if after is not None:
                jumps.append(after.samples[0] - chunk.samples[-1])
                steps.append(np.diff(chunk.samples).std())
    assert len(jumps) > 2
    assert np.std(jumps) < 2.5 * np.mean(steps)


def test_the_older_mode_is_band_passed_and_centred():
    for chunk in simulate(6, 3, mode="centred", site_count=5, rate=0.3):
        samples = of(chunk).samples
        assert chunk.record["dtype"] == "<f4"
        assert abs(samples.mean()) < 2
        assert min(abs(peak - 512) for peak in chunk.peaks) < 1


def test_files_and_their_truth(night, tmp_path: Path):
    summary = write_archive(night[:60], tmp_path)
    assert summary.chunks == 60
    decode = LeelaDecoder()
    chunks = [chunk for message in open_archive(tmp_path) for chunk in decode(message.value)]
    labels = list(csv.DictReader((tmp_path / "labels.csv").read_text().splitlines()))
    assert [row["chunk"] for row in labels] == [chunk.id for chunk in chunks]
    strokes = {row["stroke"]: row for row in csv.DictReader((tmp_path / "strokes.csv").read_text().splitlines())}
    pulses = list(csv.DictReader((tmp_path / "pulses.csv").read_text().splitlines()))
    assert len(pulses) == sum(len(chunk.seen) for chunk in night[:60])
    nodes = read_nodes(tmp_path / "nodes.json")
    for row in pulses:
        assert row["node"] in nodes
        travelled = (int(row["wave_ns"]) - int(strokes[row["stroke"]]["time_ns"])) / 1e9 * 299_792_458
        assert travelled == pytest.approx(float(row["distance_m"]), rel=0.01)
        assert abs(int(row["peak_ns"]) - int(row["wave_ns"])) < 1_000_000
    with pytest.raises(SettingsError, match=r"\.avro"):
        write_archive(night[:1], tmp_path)


@pytest.mark.parametrize("wrong", [{"site_count": 4}, {"site_count": 12}, {"rate": 0.0}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError):
        next(simulate(1, 1, **wrong))
