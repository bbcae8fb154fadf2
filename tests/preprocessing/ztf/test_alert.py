"""Packets to alerts: what is missing, what is of another survey, what cannot be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fulgor.errors import MalformedError, NotThisStreamError
from fulgor.preprocessing.records import AvroRecord
from fulgor.preprocessing.ztf import ZtfAlert, ZtfDecoder
from fulgor.preprocessing.ztf.alert import HISTORY_DTYPE, alert_of, sign_of


def test_a_whole_alert(packets: Any) -> None:
    alert = packets.decode_one(prv_candidates=[
        {"jd": 2459990.5, "fid": 2, "pid": 1, "pdiffimfilename": "x" * 150, "isdiffpos": None, "magpsf": None,
         "sigmapsf": None, "diffmaglim": 20.25},
        {"jd": 2459991.5, "fid": 1, "pid": 1, "pdiffimfilename": "short", "isdiffpos": "f", "magpsf": 19.5,
         "sigmapsf": 0.25, "diffmaglim": 20.5},
    ])  # fmt: skip
    assert (alert.candid, alert.object_id, alert.schemavsn) == (2481114533215015024, "ZTF18aaaaaaa", "3.3")
    assert (alert.jd, alert.fid, alert.programid, alert.ra, alert.dec) == (2460000.75, 1, 1, 150.0, 20.0)
    assert alert.history.dtype == HISTORY_DTYPE
    assert alert.history["sign"].tolist() == [0, -1]
    np.testing.assert_array_equal(alert.history["magpsf"], [np.nan, 19.5])
    np.testing.assert_array_equal(alert.history["diffmaglim"], [20.25, 20.5])
    assert alert.cutouts == tuple(packets.stamp(packets.sky(seed)) for seed in range(3))
    assert len(alert.content_hash) == 16
    assert "pid" not in alert.candidate


def test_the_three_spellings_of_missing(packets: Any) -> None:
    candidate = packets.decode_one(candidate={"magnr": -999.0, "rb": math.nan, "drb": math.inf}).candidate
    for name in ("ssdistnr", "sgscore1", "ssnamenr", "chinr", "magnr", "rb", "drb"):
        assert candidate[name] is None, name


def test_candid_of_the_candidate_comes_first(packets: Any) -> None:
    assert packets.decode_one(candid=5).candid == 2481114533215015024
    assert packets.decode_one(candid=5, candidate={"candid": None}).candid == 5
    assert packets.decode_one(candid=None, candidate={"candid": -121540793515135000}).candid == -121540793515135000


def test_a_bad_record_leaves_the_others(packets: Any) -> None:
    good = packets.packet()
    rows = ZtfDecoder()(packets.container(good, packets.packet(candid=None, candidate={"candid": None}), good))
    assert [type(row) for row in rows] == [ZtfAlert, MalformedError, ZtfAlert]
    assert "no candid" in str(rows[1])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"candidate": {"jd": None}}, "candidate.jd is None"),
        ({"candidate": {"jd": math.nan}}, "candidate.jd is None"),
        ({"candidate": {"ra": 361.0}}, r"candidate.ra is 361.0, a number from 0 to 360"),
        ({"candidate": {"dec": -91.0}}, "candidate.dec"),
        ({"candidate": {"fid": None}}, "candidate.fid is None, an integer"),
        ({"candidate": {"fid": 7}}, "filters are 1, 2 and 3"),
        ({"objectId": "ZTF18\0aaa"}, "no name of an object"),
        ({"objectId": "ZTF" + "a" * 90}, "no name of an object"),
    ],
)
def test_impossible_alerts(packets: Any, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(MalformedError, match=reason) as caught:
        packets.decode_one(**changes)
    assert not isinstance(caught.value, NotThisStreamError)


def _record(values: Any) -> AvroRecord:
    return AvroRecord(0, values, bytes(16))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (7, "top level is no record"),
        ({}, "it has no objectId, candidate, candidate.jd"),
        ({"objectId": "ZTF1", "candidate": {"jd": 1.0}}, r"'ZTF1'.*no candidate.fid, candidate.ra"),
        (
            {"objectId": "WNTR24a", "candidate": dict.fromkeys(("jd", "fid", "ra", "dec", "magpsf"))},
            "'WNTR24a' does not",
        ),
        ({"objectId": 7, "candidate": dict.fromkeys(("jd", "fid", "ra", "dec", "magpsf"))}, "'7' does not"),
    ],
)
def test_other_shapes(values: Any, reason: str) -> None:
    with pytest.raises(NotThisStreamError, match=reason):
        alert_of(_record(values))


@pytest.mark.parametrize("value", ["text", b"raw", [1], {"a": 1}, True, 2**62, 1e300, [[1], [2, 3]]])
def test_fields_of_another_type_crash_nothing(packets: Any, value: Any) -> None:
    names = ["candid", "jd", "fid", "programid", "ra", "dec", "magpsf", "xpos", "isdiffpos", "ssnamenr", "ndethist"]
    base = {"jd": 2460000.5, "fid": 1, "programid": 1, "ra": 1.0, "dec": 1.0, "magpsf": 18.0, "candid": 5}
    for name in names:
        record = {"objectId": "ZTF1", "candidate": base | {name: value}}
        try:
            alert = alert_of(_record(record))
        except MalformedError:
            continue
        assert alert.candidate[name] is None or isinstance(alert.candidate[name], int | float | str)
    for part in ("prv_candidates", "cutoutScience", "schemavsn"):
        alert_of(_record({"objectId": "ZTF1", "candidate": base, part: value}))
    entries = [{"jd": 2459999.5, "fid": 1, "magpsf": 18.0}, {"jd": value, "fid": value, "isdiffpos": value}]
    try:
        history = alert_of(_record({"objectId": "ZTF1", "candidate": base, "prv_candidates": entries})).history
    except MalformedError as error:
        assert "prv_candidates.jd is no number" in error.reason  # noqa: PT017
    else:
        assert len(history) == 2


def test_signs() -> None:
    assert [sign_of(spelling) for spelling in ("t", "1", True)] == [1] * 3
    assert [sign_of(spelling) for spelling in ("f", "0", False)] == [-1] * 3
    assert [sign_of(spelling) for spelling in (None, "", "x", 7, [])] == [0] * 5


def test_stamps_that_are_absent_or_not_nested(packets: Any) -> None:
    alert = packets.decode_one(cutoutScience=None, cutoutTemplate=packets.cutout(b""))
    assert alert.cutouts[:2] == (None, None)
    record = {"objectId": "ZTF1", "candidate": packets.packet()["candidate"], "cutoutScience": b"bare"}
    assert alert_of(_record(record)).cutouts == (b"bare", None, None)
