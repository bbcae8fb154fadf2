"""Pulses to strokes: true ones are found, each pulse is used once, order does not matter."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.models.location import DEFAULT, Locator, Sighting, Timing
from fulgor.preprocessing.leela.geodesy import distance_m
from fulgor.replay.simulate.leela.network import NETWORK

NODES = {site.node.node: (site.node.lat, site.node.lon) for site in NETWORK[:8]}
NO_WAVES = Timing(0.0, np.empty(0), np.empty(0, np.int8))


@pytest.fixture(scope="module")
def locator() -> Locator:
    return Locator(NODES)


def pulses(lat: float, lon: float, time_us: float, name: str, nodes: list[str] | None = None) -> list[Sighting]:
    found = []
    for node in nodes or list(NODES):
        distance = distance_m(lat, lon, *NODES[node])
        at = time_us + float(DEFAULT.travel_us(distance))
        amplitude = 1e8 / float(distance) * np.exp(-float(distance) / 3e6)
        found.append(Sighting(f"{name}-{node}", node, round(at * 1000), amplitude, NO_WAVES))
    return found


def test_two_strokes_within_a_millisecond_are_parted_in_any_order(locator: Locator):
    both = pulses(49.0, 2.0, 0.0, "a") + pulses(53.5, -4.0, 700.0, "b")
    found = locator.locate(both)
    assert [(s.solution.lat, s.solution.lon) for s in found] == [
        pytest.approx((49.0, 2.0), abs=1e-3),
        pytest.approx((53.5, -4.0), abs=1e-3),
    ]
    assert {s.id[0] for s in found[0].sightings} == {"a"}
    used = [s.id for stroke in found for s in stroke.sightings]
    assert len(used) == len(set(used)) == 16
    shuffled = [both[k] for k in np.random.default_rng(1).permutation(len(both))]
    again = locator.locate(shuffled)
    assert [[s.id for s in stroke.sightings] for stroke in again] == [[s.id for s in st.sightings] for st in found]
    assert [stroke.time_ns for stroke in again] == [stroke.time_ns for stroke in found]


def test_a_flash_at_one_place_is_several_strokes(locator: Locator):
    found = locator.locate([p for n in range(4) for p in pulses(50.0, 3.0, 900.0 * n, str(n))])
    assert [len(stroke.sightings) for stroke in found] == [8, 8, 8, 8]
    assert [stroke.time_ns for stroke in found] == pytest.approx([0, 900_000, 1_800_000, 2_700_000], abs=2000)
    assert not any(stroke.ambiguous for stroke in found)


def test_three_sites_are_a_flagged_stroke_where_strengths_say_not_where_the_first_cell_lies(locator: Locator):
    for lat, lon in ((51.0, 0.0), (52.5, 3.0)):
        nearest = sorted(NODES, key=lambda node: float(distance_m(lat, lon, *NODES[node])))[:3]
        [stroke] = locator.locate(pulses(lat, lon, 0.0, "a", nearest))
        assert (stroke.solution.lat, stroke.solution.lon) == pytest.approx((lat, lon), abs=1e-3)
        assert stroke.ambiguous


def test_two_sites_are_nothing(locator: Locator):
    assert locator.locate(pulses(51.0, 0.0, 0.0, "a", list(NODES)[:2])) == []
    assert locator.locate([]) == []


def test_pulses_that_fit_no_place_make_no_stroke(locator: Locator):
    far = [Sighting(f"x{n}", node, n * 40_000_000, 100.0, NO_WAVES) for n, node in enumerate(NODES)]
    assert locator.locate(far) == []


def test_a_receiver_that_is_not_in_the_list_is_left_out(locator: Locator):
    stranger = Sighting("z", "unknown", 0, 1.0, NO_WAVES)
    (stroke,) = locator.locate([*pulses(49.0, 2.0, 0.0, "a"), stranger])
    assert len(stroke.sightings) == 8


def test_location_needs_three_receivers():
    with pytest.raises(ValueError, match="needs 3"):
        Locator({"a": (0.0, 0.0), "b": (1.0, 1.0)})
