"""ZTF alerts as what the pictures take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fulgor.plots.ztf import alert_curve, alert_stamps
from fulgor.preprocessing.fits import read_stamp
from fulgor.preprocessing.ztf import ZtfAlert, ZtfDecoder
from fulgor.replay.simulate.ztf import encode, simulate


@pytest.fixture(scope="module")
def alerts() -> list[ZtfAlert]:
    return [alert for made in simulate(12, seed=5) for alert in ZtfDecoder()(encode([made.record]))]


def test_stamps_are_in_the_units_of_the_packet(alerts):
    alert = next(alert for alert in alerts if read_stamp(alert.cutouts[0]).pixels.shape == (63, 63))
    np.testing.assert_array_equal(alert_stamps(alert).science, read_stamp(alert.cutouts[0]).pixels)


def test_a_cut_stamp_is_put_where_it_belongs(alerts):
    from fulgor.replay.simulate.ztf.fits import gzip_fits

    cut = gzip_fits(np.ones((63, 40)), 0)
    alert = replace(alerts[0], cutouts=(cut, None, cut), candidate={**alerts[0].candidate, "xpos": 9.0, "ypos": 900.0})
    stamps = alert_stamps(alert)
    assert stamps.template is None
    assert stamps.science.shape == (63, 63)
    assert np.isnan(stamps.science[:, :23]).all()
    assert (stamps.science[:, 23:] == 1).all()


def test_a_damaged_stamp_is_no_stamp(alerts):
    damaged = replace(alerts[0], cutouts=(b"not a stamp", alerts[0].cutouts[1][:200], None))
    assert alert_stamps(damaged).images == (None, None, None)


def test_the_light_curve_ends_with_the_alert_itself(alerts):
    for alert in alerts:
        curve = alert_curve(alert)
        assert curve.days[-1] == 0
        assert curve.magnitudes[-1] == pytest.approx(alert.candidate["magpsf"])
        assert (curve.days[:-1] < 0).all()
        assert len(curve.days) == (alert.history["jd"] < alert.jd).sum() + 1
        assert set(curve.bands.tolist()) <= {"g", "r"}
        assert bool(curve.negative[-1]) == (alert.candidate["isdiffpos"] == "f")
    assert any(len(alert_curve(alert).days) > 3 for alert in alerts)
