from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from fulgor.errors import SettingsError
from fulgor.replay.simulate.ztf import CLASSES, DEFAULT_MIX, DEFAULT_NIGHTS, DEFAULT_START, encode, simulate


def by_object(alerts):
    groups = defaultdict(list)
    for alert in alerts:
        groups[alert.object_id].append(alert)
    return groups


def test_same_seed_gives_the_same_bytes():
    first, second = (encode(alert.record for alert in simulate(25, seed=4)) for _ in range(2))
    assert first == second
    assert first != encode(alert.record for alert in simulate(25, seed=5))


def test_interleaved_simulations_do_not_disturb_each_other():
    alone = [alert.record["candid"] for alert in simulate(10, seed=1)]
    pairs = list(zip(simulate(10, seed=1), simulate(10, seed=2), strict=True))
    assert [one.record["candid"] for one, _ in pairs] == alone


def test_alerts_come_in_time_order_within_the_season(alerts):
    times = [alert.jd for alert in alerts]
    assert times == sorted(times)
    assert times[0] >= DEFAULT_START
    assert times[-1] <= DEFAULT_START + DEFAULT_NIGHTS
    assert all(alert.record["candidate"]["jd"] == alert.jd for alert in alerts)


def test_season_can_be_chosen():
    times = [alert.jd for alert in simulate(20, 1, start=2_460_000.5, nights=20)]
    assert min(times) >= 2_460_000.5
    assert max(times) <= 2_460_020.5


def test_counts_and_shares_of_classes(alerts):
    assert len(alerts) == 700
    counts = Counter(alert.label for alert in alerts)
    for label in CLASSES:
        assert counts[label] == pytest.approx(700 * DEFAULT_MIX[label], abs=25)


def test_mix_of_one_class():
    assert {alert.label for alert in simulate(15, 2, mix={"SN": 1.0})} == {"SN"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"count": -1, "seed": 1},
        {"count": 1, "seed": -1},
        {"count": 1, "seed": 1, "nights": 0},
        {"count": 1, "seed": 1, "start": math.nan},
        {"count": 1, "seed": 1, "start": 1e300},
        {"count": 1, "seed": 1, "mix": {"quasar": 1.0}},
        {"count": 1, "seed": 1, "mix": {"SN": 0.0}},
    ],
)
def test_impossible_parameters_are_refused_at_once(arguments):
    with pytest.raises(SettingsError):
        simulate(**arguments)


def test_no_alerts_asked_none_given():
    assert list(simulate(0, 1)) == []


def test_candids_are_unique_and_built_as_ztf_builds_them(alerts):
    assert len({alert.record["candid"] for alert in alerts}) == len(alerts)
    for alert in alerts:
        candidate = alert.record["candidate"]
        sign = 15_000 if candidate["isdiffpos"] == "t" else 10_000
        assert candidate["candid"] == alert.record["candid"]
        assert candidate["candid"] // 1_000_000 == candidate["pid"]
        assert candidate["candid"] % 1_000_000 == sign + candidate["tblid"]
        assert candidate["pid"] // 1_000_000_000 == candidate["nid"] == int(candidate["jd"] - 2_457_754.5)
        assert candidate["pid"] // 100 % 100 == candidate["rcid"]


def test_objects_keep_their_place_and_send_several_alerts(alerts):
    groups = by_object(alerts)
    assert sum(len(group) > 1 for group in groups.values()) > 0.3 * len(groups)
    for group in groups.values():
        assert len({alert.label for alert in group}) == 1
        positions = np.array([(alert.record["candidate"]["ra"], alert.record["candidate"]["dec"]) for alert in group])
        offset = positions - positions[0]
        offset[:, 0] *= np.cos(np.radians(positions[0, 1]))
        assert np.abs(offset).max() < 1.5 / 3600.0
        counts = [alert.record["candidate"]["ndethist"] for alert in group]
        assert counts == sorted(counts)


def test_history_lies_in_the_thirty_days_before_and_never_holds_the_alert_itself(alerts):
    for alert in alerts:
        times = [row["jd"] for row in alert.record["prv_candidates"] or []]
        assert times == sorted(times)
        assert all(alert.jd - 30.0 <= jd < alert.jd for jd in times)
        candids = [row["candid"] for row in alert.record["prv_candidates"] or []]
        assert alert.record["candid"] not in candids


def test_later_histories_repeat_earlier_alerts(alerts):
    repeated = 0
    for group in by_object(alerts).values():
        for earlier, later in pairwise(group):
            if later.jd - earlier.jd > 30.0:
                continue
            rows = {row["candid"]: row for row in later.record["prv_candidates"]}
            row = rows[earlier.record["candid"]]
            assert row["magpsf"] == earlier.record["candidate"]["magpsf"]
            assert row["isdiffpos"] == earlier.record["candidate"]["isdiffpos"]
            repeated += 1
    assert repeated > 100


def test_limits_have_no_detection_and_detections_have_no_holes(alerts):
    for alert in alerts:
        for row in alert.record["prv_candidates"] or []:
            found = row["candid"] is not None
            assert row["diffmaglim"] is not None
            for name in ("magpsf", "sigmapsf", "ra", "isdiffpos", "xpos", "fwhm", "distnr"):
                assert (row[name] is not None) == found, name


def test_some_histories_are_null_and_most_are_not():
    histories = [alert.record["prv_candidates"] for alert in simulate(80, 8, nights=5)]
    assert all(history is None or history for history in histories)
    assert sum(history is None for history in histories) < 8


def test_asteroids_have_no_past(alerts):
    asteroids = [alert for alert in alerts if alert.label == "asteroid"]
    for alert in asteroids:
        assert all(row["magpsf"] is None for row in alert.record["prv_candidates"] or [])
        assert alert.record["candidate"]["ndethist"] == 1
        assert alert.record["candidate"]["isdiffpos"] == "t"
    known = [alert.record["candidate"]["ssdistnr"] >= 0 for alert in asteroids]
    assert 0.7 < np.mean(known) < 0.97
    others = {alert.record["candidate"]["ssdistnr"] for alert in alerts if alert.label != "asteroid"}
    assert others == {-999.0}


def test_variable_stars_and_nuclei_go_both_ways_and_supernovae_seldom_below_the_template(alerts):
    signs = defaultdict(list)
    for alert in alerts:
        signs[alert.label].append(alert.record["candidate"]["isdiffpos"] == "t")
    assert 0.2 < np.mean(signs["VS"]) < 0.8
    assert 0.2 < np.mean(signs["AGN"]) < 0.8
    assert 0.6 < np.mean(signs["SN"]) < 0.99


def test_no_single_number_tells_the_class(alerts):
    """Star score, distance, width and error of stars overlap with those of supernovae and nuclei."""
    for name in ("sgscore1", "distpsnr1", "fwhm", "classtar", "sigmapsf", "magpsf", "chinr"):
        values = {
            label: np.array([alert.record["candidate"][name] for alert in alerts if alert.label == label])
            for label in CLASSES
        }
        stars, novae, nuclei = values["VS"], values["SN"], values["AGN"]
        for other in (novae, nuclei):
            assert other.min() < stars.max(), name
            assert stars.min() < other.max(), name


def test_a_season_without_a_clear_night_says_so(monkeypatch):
    from fulgor.replay.simulate.ztf import night

    def overcast(rng, start, end):
        drawn = night_draw(rng, start, end)
        drawn.clear[:] = False
        return drawn

    night_draw = night.Nights.draw
    monkeypatch.setattr(night.Nights, "draw", overcast)
    monkeypatch.setattr(night, "_DULL", 20)
    with pytest.raises(SettingsError, match="more nights"):
        simulate(5, 1)
