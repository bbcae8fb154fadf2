"""Few sites are flagged where other pulses could have been theirs, unless another stroke at the place is certain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fulgor.models.location import DEFAULT, Locator, Sighting, Stroke, Timing
from fulgor.preprocessing.leela.geodesy import distance_m
from fulgor.replay.simulate.leela.network import NETWORK

NODES = {site.node.node: (site.node.lat, site.node.lon) for site in NETWORK}
NO_WAVES = Timing(0.0, np.empty(0), np.empty(0, np.int8))
PLACE = (51.0, 0.0)
NEAREST = sorted(NODES, key=lambda node: float(distance_m(*PLACE, *NODES[node])))


def pulses(sites: int, name: str = "a", time_us: float = 0.0) -> list[Sighting]:
    """Return what the nearest sites hear of a stroke."""
    found = []
    for node in NEAREST[:sites]:
        distance = distance_m(*PLACE, *NODES[node])
        amplitude = 1e8 / float(distance) * np.exp(-float(distance) / 3e6)
        at = time_us + float(DEFAULT.travel_us(distance))
        found.append(Sighting(f"{name}-{node}", node, round(at * 1000), amplitude, NO_WAVES))
    return found


def stray(number: int, time_us: float) -> Sighting:
    """Return a pulse that belongs to nothing, of a site that heard the stroke, too late and too strong to be of it."""
    return Sighting(f"z{number}", NEAREST[number % 2], round(time_us * 1000), 1e6, NO_WAVES)


def located(*parts: list[Sighting]) -> list[Stroke]:
    return Locator(NODES).locate([pulse for part in parts for pulse in part])


@pytest.mark.parametrize(("sites", "flagged"), [(3, True), (4, False), (5, False), (8, False)])
def test_alone_only_three_sites_are_flagged(sites: int, flagged: bool):
    [stroke] = located(pulses(sites))
    assert stroke.ambiguous is flagged


@pytest.mark.parametrize(("sites", "flagged"), [(4, True), (6, True), (7, False)])
def test_pulses_that_are_left_over_make_few_sites_doubtful(sites: int, flagged: bool):
    around = [stray(number, 1_500.0 + 137 * number) for number in range(4)]
    [stroke] = [s for s in located(pulses(sites), around) if len(s.sightings) == sites]
    assert stroke.ambiguous is flagged
    later = [replace(each, time_ns=each.time_ns + 20_000_000) for each in around]
    [stroke] = [s for s in located(pulses(sites), later) if len(s.sightings) == sites]
    assert not stroke.ambiguous


def test_a_certain_stroke_at_the_same_place_confirms_four_sites_but_not_three():
    around = [stray(number, 1_500.0 + 137 * number) for number in range(4)]
    found = located(pulses(4), around, pulses(3, "c", 100_000.0), pulses(8, "b", 200_000.0))
    assert {len(s.sightings): s.ambiguous for s in found if s.sightings[0].id[0] in "abc"} == {
        4: False, 3: True, 8: False,
    }  # fmt: skip
    late = located(pulses(4), around, pulses(8, "b", 900_000.0))
    assert [s.ambiguous for s in late if len(s.sightings) == 4] == [True]


def test_strengths_that_differ_make_four_sites_doubtful():
    unlike = [replace(p, amplitude=p.amplitude * f) for p, f in zip(pulses(4), (0.85, 1.2, 0.85, 1.2), strict=True)]
    [stroke] = located(unlike)
    assert stroke.ambiguous
