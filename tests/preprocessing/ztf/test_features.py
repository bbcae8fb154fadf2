"""Features: the names, the clips, the coordinates, and what stands for missing ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord

from fulgor.preprocessing.ztf import FEATURE_NAMES, prepare
from fulgor.preprocessing.ztf.features import ecliptic, features, galactic
from fulgor.preprocessing.ztf.stamps import Level

LEVELS = (Level(150, 7), Level(80, 2), Level(0, 6))


def _named(alert: Any) -> dict[str, float]:
    return dict(zip(FEATURE_NAMES, features(alert, LEVELS).tolist(), strict=True))


def test_the_names_and_their_order() -> None:
    assert FEATURE_NAMES == (
        "sgscore1", "distpsnr1", "sgscore2", "distpsnr2", "sgscore3", "distpsnr3", "isdiffpos", "fwhm", "magpsf",
        "sigmapsf", "ra", "dec", "diffmaglim", "classtar", "ndethist", "ncovhist", "ecl_lat", "ecl_long", "gal_lat",
        "gal_long", "non_detections", "chinr", "sharpnr", "science_sky", "science_noise", "template_sky",
        "template_noise", "difference_sky", "difference_noise",
    )  # fmt: skip


def test_the_clips(packets: Any) -> None:
    values = {"fwhm": 30.0, "ndethist": 900, "ncovhist": 4500, "chinr": 99.0, "sharpnr": -9.0, "isdiffpos": "f"}
    named = _named(packets.decode_one(candidate=values))
    assert named["fwhm"] == 10
    assert named["ndethist"] == 20
    assert named["ncovhist"] == 3000
    assert named["non_detections"] == 2000
    assert (named["chinr"], named["sharpnr"]) == (15, -1)
    assert named["isdiffpos"] == 1
    assert _named(packets.decode_one())["isdiffpos"] == 0
    assert _named(packets.decode_one())["non_detections"] == 47


def test_missing_values_are_documented_ones(packets: Any) -> None:
    empty = dict.fromkeys(("isdiffpos", "magpsf", "fwhm", "diffmaglim", "ndethist", "sigmapsf", "sgscore1"))
    named = _named(packets.decode_one(candidate=empty))
    for name in ("sgscore1", "distpsnr1", "sgscore2", "distpsnr3", "chinr", "sharpnr"):
        assert named[name] == -1, name
    for name in ("isdiffpos", "magpsf", "fwhm", "diffmaglim", "ndethist", "non_detections", "classtar"):
        assert named[name] == 0, name


def test_the_scales_of_the_stamps(packets: Any) -> None:
    named = _named(packets.decode_one())
    assert named["science_sky"] == pytest.approx(math.asinh(150))
    assert named["template_noise"] == pytest.approx(math.log(2))
    prepared = prepare(packets.decode_one(cutoutTemplate=None)).arrays["features"]
    named = dict(zip(FEATURE_NAMES, prepared.tolist(), strict=True))
    assert named["template_sky"] == named["template_noise"] == 0
    assert named["science_noise"] == pytest.approx(math.log(7), abs=0.05)


def test_coordinates_equal_astropys() -> None:
    rng = np.random.default_rng(1)
    ra = np.r_[rng.uniform(0, 360, 300), 0, 360, 0, 0, 192.859]
    dec = np.r_[np.degrees(np.arcsin(rng.uniform(-1, 1, 300))), 0, 0, 90, -90, 27.128]
    sky = SkyCoord(ra * units.deg, dec * units.deg, frame="icrs")
    frames = (
        (galactic, sky.galactic.l.deg, sky.galactic.b.deg),
        (ecliptic, sky.barycentricmeanecliptic.lon.deg, sky.barycentricmeanecliptic.lat.deg),
    )
    for function, longitude, latitude in frames:
        found = np.array([function(float(a), float(d)) for a, d in zip(ra, dec, strict=True)])
        np.testing.assert_allclose(found[:, 1], latitude, atol=1e-7)
        turn = (found[:, 0] - longitude + 180) % 360 - 180
        np.testing.assert_allclose(turn * np.cos(np.radians(latitude)), 0, atol=1e-7)
        assert ((found[:, 0] >= 0) & (found[:, 0] < 360)).all()
