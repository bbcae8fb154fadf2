"""Ranges of offsets against plain sets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fulgor.replay.record.coverage import Ranges

# A busy machine may stop for any time at any place, and the same examples come in each run.
SURELY = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
PAIRS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=12)


@SURELY
@given(PAIRS)
def test_ranges_are_a_set_of_offsets(pairs: list[tuple[int, int]]):
    ranges, plain = Ranges(), set()
    for first, after in pairs:
        ranges.add(first, after)
        plain |= set(range(first, after))
    assert [offset in ranges for offset in range(45)] == [offset in plain for offset in range(45)]
    assert bool(ranges) == bool(plain)
    assert [ranges.next_missing(offset) for offset in range(45)] == [
        next(each for each in range(offset, 99) if each not in plain) for offset in range(45)
    ]
    found = list(ranges)
    assert all(one[1] < other[0] for one, other in pairwise(found))  # merged, even where they touch
    assert sum(after - first for first, after in found) == len(plain)
    between = set(range(min(plain), max(plain))) - plain if plain else set()
    assert {offset for first, after in ranges.missing() for offset in range(first, after)} == between


@SURELY
@given(PAIRS)
def test_the_order_of_adding_does_not_matter(pairs: list[tuple[int, int]]):
    assert list(Ranges(pairs)) == list(Ranges(reversed(pairs)))
