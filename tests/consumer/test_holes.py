"""Why offsets hold no message: what can be told without asking, and orders of an operator between them."""

import pytest

from fulgor.consumer.holes import holes, infer_cause
from fulgor.storage.rows import Hole


@pytest.mark.parametrize(
    ("policy", "isolation", "length", "cause"),
    [
        ("compact", "read_committed", 1, "compacted"),
        ("delete,compact", "read_uncommitted", 7, "compacted"),
        ("delete", "read_committed", 1, "marker"),
        ("delete", "read_committed", 2, "unknown"),
        ("delete", "read_uncommitted", 2, "marker"),
        ("", "read_uncommitted", 1, "unknown"),
    ],
)
def test_inferred_causes(policy, isolation, length, cause):
    assert infer_cause(policy, isolation, length) == cause


ORDERS = (Hole(5, 8, "operator", "poison"), Hole(6, 10, "operator"), Hole(20, 21, "operator"))


@pytest.mark.parametrize(
    ("first", "after", "found"),
    [
        (3, 3, ()),
        (1, 4, (Hole(1, 4, "marker"),)),
        (3, 6, (Hole(3, 5, "marker"), Hole(5, 6, "operator", "poison"))),
        (5, 12, (Hole(5, 8, "operator", "poison"), Hole(8, 10, "operator"), Hole(10, 12, "marker"))),
        (9, 21, (Hole(9, 10, "operator"), Hole(10, 20, "marker"), Hole(20, 21, "operator"))),
    ],
)
def test_orders_divide_a_hole(first, after, found):
    assert holes(first, after, "marker", ORDERS) == found
