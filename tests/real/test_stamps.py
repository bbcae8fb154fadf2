"""Real stamps: the same bits as astropy, placed where their source is, and turned as they come."""

from __future__ import annotations

import gzip
import io
import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from fulgor.preprocessing.fits import read_stamp
from fulgor.preprocessing.ztf import FEATURE_NAMES, ZtfAlert, ZtfFlag, prepare
from fulgor.preprocessing.ztf.features import _RANGES
from fulgor.preprocessing.ztf.placement import placement_of

pytestmark = pytest.mark.real


def test_every_stamp_equals_astropys_bit_for_bit(alerts: list[ZtfAlert]) -> None:
    equal = 0
    for alert in alerts:
        for cutout in alert.cutouts:
            assert cutout is not None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with fits.open(io.BytesIO(gzip.decompress(cutout)), ignore_missing_simple=True) as units:
                    theirs = np.asarray(units[0].data)
            ours = read_stamp(cutout).pixels
            assert ours.shape == theirs.shape
            assert ours.tobytes() == theirs.astype("<f4").tobytes()
            equal += 1
    assert equal == 3 * 1401


def _opposite(frame: tuple[slice, slice]) -> tuple[slice, slice]:
    """Where the stamp would lie had the other side been cut."""
    rows, columns = (slice(63 - part.stop, 63 - part.start) for part in frame)
    return rows, columns


def _brightest_at_centre(pixels: np.ndarray, where: tuple[slice, slice]) -> float:
    frame = np.zeros((63, 63), np.float32)
    frame[where] = np.abs(np.nan_to_num(pixels))
    return float(frame[29:34, 29:34].max())


def test_cut_stamps_lie_where_their_source_is(alerts: list[ZtfAlert]) -> None:
    """The side comes from the position alone; that the source then peaks at the centre is the proof."""
    cut = bright = 0
    for alert in alerts:
        pixels = read_stamp(alert.cutouts[2] or b"").pixels
        place = placement_of(pixels, alert.candidate["xpos"], alert.candidate["ypos"])
        if not place.flags:
            continue
        cut += 1
        assert place.flags == ZtfFlag.EDGE_CUT  # never guessed: the position explains every shape
        centre, other = _brightest_at_centre(pixels, place.frame), _brightest_at_centre(pixels, _opposite(place.frame))
        if max(centre, other) > 5 * min(centre, other):
            bright += 1
            assert centre > other
    assert cut == 22
    assert bright >= 10


def test_every_alert_prepares(alerts: list[ZtfAlert]) -> None:
    low, high = (np.array([bound[side] for bound in _RANGES.values()]) for side in (0, 1))
    for alert in alerts:
        prepared = prepare(alert)
        assert prepared.unscorable is None
        assert all(np.isfinite(array).all() for array in prepared.arrays.values())
        stamps, masks = prepared.arrays["stamps"], prepared.arrays["masks"]
        assert (stamps[masks == 0] == 0).all()
        assert masks[:, 31, 31].all()
        assert (np.abs(stamps) < 12).all()
        features = prepared.arrays["features"]
        assert ((features >= low) & (features <= high)).all()
        assert prepared.arrays["sequence_mask"][-1] == 1


def test_bounds_that_are_not_alerces_touch_no_real_value(alerts: list[ZtfAlert]) -> None:
    ours = ("distpsnr1", "distpsnr2", "distpsnr3", "magpsf", "sigmapsf", "diffmaglim", "classtar", "science_noise")
    columns = np.array([prepare(alert).arrays["features"] for alert in alerts])
    for name in ours:
        column = columns[:, FEATURE_NAMES.index(name)]
        bounds = _RANGES[name]
        assert (column < bounds.high).all() or name == "classtar"
        assert ((column > bounds.low) | (column == bounds.missing)).all()


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_real_stamps_turn_bit_for_bit(alerts: list[ZtfAlert], turns: int, mirrored: bool) -> None:
    def turn(image: np.ndarray) -> np.ndarray:
        image = np.rot90(image, turns, (-2, -1))
        return np.ascontiguousarray(image[..., ::-1] if mirrored else image)

    for alert in alerts[::20]:
        images = [read_stamp(cutout or b"").pixels for cutout in alert.cutouts]
        if images[0].shape != (63, 63):
            continue
        science, template, difference = (_fits(turn(image)) for image in images)
        turned = prepare(replace(alert, cutouts=(science, template, difference))).arrays
        straight = prepare(alert).arrays
        for name in ("stamps", "masks"):
            assert turned[name].tobytes() == turn(straight[name]).tobytes()
        assert turned["features"].tobytes() == straight["features"].tobytes()


def _fits(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    fits.PrimaryHDU(pixels).writeto(out)
    return out.getvalue()


def test_the_history_never_reaches_into_the_future(alerts: list[ZtfAlert]) -> None:
    future = sum(bool(prepare(alert).flags & ZtfFlag.FUTURE_HISTORY) for alert in alerts)
    assert future == sum(bool((alert.history["jd"] > alert.jd).any()) for alert in alerts)
    assert future > 100
    for alert in alerts:
        days = prepare(alert).arrays["sequence"][:, 0]
        assert (days >= 0).all()
