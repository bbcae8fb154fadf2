from __future__ import annotations

from itertools import pairwise

import numpy as np

from fulgor.models.evaluation.alerts import AlertSet, detections, truncate
from fulgor.preprocessing.ztf import FEATURE_NAMES, ZtfAlert, prepare
from fulgor.preprocessing.ztf.alert import HISTORY_DTYPE


def make_alert(times: list[float], detected: list[bool], *, jd: float = 100.0, **candidate: float) -> ZtfAlert:
    """An alert with earlier detections and limits at some times."""
    history = np.zeros(len(times), HISTORY_DTYPE)
    history["jd"], history["fid"], history["diffmaglim"] = times, 1, 20.5
    history["magpsf"] = np.where(detected, 18.0, np.nan)
    return ZtfAlert(
        candid=1,
        object_id="ZTF1",
        jd=jd,
        fid=1,
        programid=1,
        ra=10.0,
        dec=5.0,
        candidate=candidate,
        history=history,
        cutouts=(None, None, None),
        schemavsn="3.3",
        content_hash=b"",
    )


def test_truncation_begins_after_the_last_dropped_detection() -> None:
    alert = make_alert([1, 2, 3, 4, 5, 6], [True, False, True, False, True, False], ndethist=40, ncovhist=100)
    assert detections(alert) == 4
    kept = truncate(alert, 2)
    assert kept.history["jd"].tolist() == [4, 5, 6]
    assert detections(kept) == 2
    assert truncate(alert, 1).history["jd"].tolist() == [6]
    assert kept.candidate == {"ndethist": 2, "ncovhist": 62}
    assert truncate(alert, 4) is alert


def test_later_and_repeated_entries_count_once_or_not() -> None:
    alert = make_alert([1, 1, 2, 100, 101], [True] * 5)
    assert detections(alert) == 3
    assert detections(truncate(alert, 2)) == 2


def test_gathered_alerts_are_prepared_as_live(alerts: AlertSet) -> None:
    assert len(alerts) == len(alerts.ids) == len(set(alerts.ids.tolist())) == 120
    assert (alerts.labels >= 0).all()
    for name, array in prepare(alerts.alerts[7]).arrays.items():
        assert (alerts.dataset.take(np.array([7]))[name][0] == array).all()


def test_the_same_alerts_with_shorter_histories(alerts: AlertSet) -> None:
    short = alerts.truncated(1)
    many = alerts.detections > 1
    assert many.any()
    assert not many.all()
    assert (short.detections == 1).all()
    assert short.dataset.arrays["stamps"] is alerts.dataset.arrays["stamps"]
    every = np.arange(len(alerts))
    assert (short.feature(["ndethist"], every)[many] == 1).all()
    same = [
        (short.dataset.arrays[name][every[~many]] == alerts.dataset.arrays[name][every[~many]]).all()
        for name in ("sequence", "features")
    ]
    assert all(same)
    assert (short.dataset.arrays["sequence"][many] != alerts.dataset.arrays["sequence"][many]).any(axis=(1, 2)).all()


def test_blanked_features_tell_nothing(alerts: AlertSet) -> None:
    blank = alerts.without(["ra", "ndethist"])
    changed = blank.dataset.arrays["features"] != alerts.dataset.arrays["features"]
    assert {FEATURE_NAMES[k] for k in np.flatnonzero(changed.any(axis=0))} == {"ra", "ndethist"}
    assert np.ptp(blank.feature(["ra", "ndethist"], np.arange(len(alerts))), axis=0).tolist() == [0, 0]


def test_nights_are_whole_and_hold_enough(alerts: AlertSet) -> None:
    nights = alerts.nights(least=8)
    day = np.floor([alert.jd - 0.5 for alert in alerts.alerts]).astype(int)
    blocks = sorted(set(nights.tolist()))
    assert len(blocks) > 3
    assert all(len(set(nights[day == one])) == 1 for one in set(day.tolist()))
    sizes = [int((nights == block).sum()) for block in blocks]
    assert min(sizes[:-1]) >= 8
    assert all(day[nights == block].max() < day[nights == later].min() for block, later in pairwise(blocks))
    assert len(set(alerts.nights(least=1))) == len(set(day.tolist()))
