"""Light curves: no future, no doubles, the alert last."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fulgor.preprocessing.ztf import SEQUENCE_COLUMNS, ZtfFlag
from fulgor.preprocessing.ztf.lightcurve import light_curve

# A busy machine may stop for any time at any place, and the same examples come in each run.
SURELY = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

JD = 2460000.75


def _entry(days: float, **changes: Any) -> dict[str, Any]:
    entry = {"jd": JD - days, "fid": 1, "pid": 1, "pdiffimfilename": None, "isdiffpos": "t", "magpsf": 19.0,
             "sigmapsf": 0.1, "diffmaglim": 20.0}  # fmt: skip
    return entry | changes


def _limit(days: float, **changes: Any) -> dict[str, Any]:
    return _entry(days, magpsf=None, sigmapsf=None, isdiffpos=None, **changes)


def _column(sequence: np.ndarray, name: str) -> np.ndarray:
    return sequence[:, SEQUENCE_COLUMNS.index(name)]


def test_the_columns(packets: Any) -> None:
    history = [_limit(9, fid=2, diffmaglim=20.5), _entry(4, fid=3, magpsf=19.5, sigmapsf=0.25, isdiffpos="f")]
    curve = light_curve(packets.decode_one(prv_candidates=history), 5)
    expected = [
        [0] * 8,
        [0] * 8,
        [math.log1p(9), 0, 0, 1, 0.75, 0, 0, 0],
        [math.log1p(4), math.log1p(5), 0, 0, 0.25, math.log(0.25) / 2, 1, -1],
        [0, math.log1p(4), 1, 0, -0.25, math.log(0.1) / 2, 1, 1],
    ]
    np.testing.assert_allclose(curve.sequence, expected, atol=1e-6)
    assert curve.mask.tolist() == [0, 0, 1, 1, 1]
    assert curve.sequence.dtype == curve.mask.dtype == np.float32
    assert curve.flags == 0


def test_steps_have_the_very_times_of_the_packet(packets: Any) -> None:
    history = [_limit(9.1234567), _entry(-1), _entry(4.7654321), _entry(4.7654321, magpsf=18.0), _entry(0)]
    alert = packets.decode_one(prv_candidates=history)
    times = light_curve(alert, 5).times
    assert times.dtype == np.float64
    assert np.isnan(times[:2]).all()
    assert times[2:].tolist() == [JD - 9.1234567, JD - 4.7654321, alert.jd]
    assert light_curve(alert, 2).times.tolist() == [JD - 4.7654321, alert.jd]


def test_no_history(packets: Any) -> None:
    for history in (None, [], [_limit(1, diffmaglim=None)]):
        curve = light_curve(packets.decode_one(prv_candidates=history), 4)
        assert curve.mask.tolist() == [0, 0, 0, 1]
        assert curve.flags == ZtfFlag.NO_HISTORY


def test_only_limits(packets: Any) -> None:
    assert light_curve(packets.decode_one(prv_candidates=[_limit(1)]), 4).flags == ZtfFlag.ONLY_LIMITS


def test_the_future_is_clipped(packets: Any) -> None:
    past = light_curve(packets.decode_one(prv_candidates=[_entry(3)]), 8)
    both = light_curve(packets.decode_one(prv_candidates=[_entry(-0.25), _entry(3), _limit(-9)]), 8)
    np.testing.assert_array_equal(past.sequence, both.sequence)
    assert both.flags == past.flags | ZtfFlag.FUTURE_HISTORY


def test_one_step_for_each_exposure_and_the_detection_wins(packets: Any) -> None:
    alone = light_curve(packets.decode_one(prv_candidates=[_entry(3, magpsf=18.0, sigmapsf=0.05)]), 8)
    doubled = [_limit(3), _entry(3, magpsf=18.5, sigmapsf=0.2), _entry(3, magpsf=18.0, sigmapsf=0.05), _entry(0)]
    for order in itertools.permutations(doubled):
        curve = light_curve(packets.decode_one(prv_candidates=list(order)), 8)
        np.testing.assert_array_equal(curve.sequence, alone.sequence)
        assert curve.flags == ZtfFlag.DUPLICATE_HISTORY


def test_the_latest_steps_are_kept(packets: Any) -> None:
    history = [_entry(days, magpsf=15 + days / 10) for days in (5, 1, 4, 2, 3)]
    curve = light_curve(packets.decode_one(prv_candidates=history), 3)
    np.testing.assert_allclose(np.expm1(_column(curve.sequence, "log_days_before")), [2, 1, 0], atol=1e-5)
    np.testing.assert_allclose(np.expm1(_column(curve.sequence, "log_days_since_previous")), [0, 1, 1], atol=1e-5)
    assert curve.flags & ZtfFlag.HISTORY_CUT
    assert not light_curve(packets.decode_one(prv_candidates=history), 6).flags & ZtfFlag.HISTORY_CUT


@pytest.mark.parametrize("changes", [{"magpsf": None}, {"magpsf": -999.0}, {"sigmapsf": None}, {"magpsf": math.nan}])
def test_bad_photometry_of_the_alert_itself(packets: Any, changes: dict[str, Any]) -> None:
    curve = light_curve(packets.decode_one(candidate=changes), 4)
    assert curve.flags & ZtfFlag.BAD_PHOTOMETRY
    assert np.isfinite(curve.sequence).all()
    assert curve.mask[-1] == 1


_NUMBERS = st.none() | st.floats(width=32)


@settings(SURELY, max_examples=150)
@given(st.lists(st.tuples(st.floats(), st.integers(-2, 5), _NUMBERS, _NUMBERS, _NUMBERS), max_size=8), st.randoms())
def test_any_history_gives_finite_columns_in_any_order(packets: Any, rows: list[Any], random: Any) -> None:
    history = [
        _entry(0, jd=jd, fid=fid, magpsf=magnitude, sigmapsf=error, diffmaglim=limit)
        for jd, fid, magnitude, error, limit in rows
    ]
    curve = light_curve(packets.decode_one(prv_candidates=history), 5)
    assert np.isfinite(curve.sequence).all()
    assert (np.diff(curve.mask) >= 0).all()
    assert (np.diff(_column(curve.sequence, "log_days_before")[curve.mask == 1]) <= 0).all()
    random.shuffle(history)
    np.testing.assert_array_equal(light_curve(packets.decode_one(prv_candidates=history), 5).sequence, curve.sequence)
