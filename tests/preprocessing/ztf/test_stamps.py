"""Stamps: placed, masked, scaled, flagged; and turned exactly as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fulgor.preprocessing.ztf import ALERCE, DEFAULT, Recipe, ZtfFlag, prepare

# A busy machine may stop for any time at any place, and the same examples come in each run.
SURELY = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

NAMES = ("cutoutScience", "cutoutTemplate", "cutoutDifference")


def _d4() -> list[Callable[[np.ndarray], np.ndarray]]:
    turns = [lambda a, k=k: np.rot90(a, k, (-2, -1)) for k in range(4)]
    return turns + [lambda a, t=t: t(a)[..., ::-1] for t in turns]


def _with_stamps(packets: Any, images: list[np.ndarray], **changes: Any) -> Any:
    cutouts = {name: packets.cutout(packets.stamp(image)) for name, image in zip(NAMES, images, strict=True)}
    return packets.decode_one(**cutouts | changes)


@pytest.fixture
def images(packets: Any) -> list[np.ndarray]:
    return [packets.sky(seed) for seed in range(3)]


def test_shapes_types_and_scale(packets: Any, images: list[np.ndarray]) -> None:
    prepared = prepare(_with_stamps(packets, images))
    stamps, masks = prepared.arrays["stamps"], prepared.arrays["masks"]
    assert stamps.shape == masks.shape == (3, 63, 63)
    assert stamps.dtype == masks.dtype == np.float32
    assert (masks == 1).all()
    assert prepared.unscorable is None
    assert not prepared.flags & (ZtfFlag.MISSING_STAMP | ZtfFlag.NAN_PIXELS | ZtfFlag.EDGE_CUT)
    # In units of the sky noise: half of the sky within 0.67 sigma, whatever the level.
    assert abs(np.median(stamps[0])) < 0.05
    assert np.percentile(np.sinh(stamps[0]), 15.87) == pytest.approx(-1, abs=0.05)
    np.testing.assert_allclose(np.sinh(stamps[0, 31, 31]), 500 / 7, rtol=0.1)


def test_science_and_template_share_one_scale(packets: Any, images: list[np.ndarray]) -> None:
    science, template = packets.sky(5, peak=3000), packets.sky(6, peak=1000)
    template = ((template - 150) * 1 + 80).astype(np.float32)  # another sky level, the same unit of flux
    template[40:] = 80 + (template[40:] - 80) / 10  # and a smoother sky
    stamps = prepare(_with_stamps(packets, [science, template, images[2]])).arrays["stamps"]
    assert np.sinh(stamps[0, 31, 31]) / np.sinh(stamps[1, 31, 31]) == pytest.approx(3, rel=0.05)


def test_masked_pixels_are_zero_and_move_nothing(packets: Any, images: list[np.ndarray]) -> None:
    holed = [image.copy() for image in images]
    holed[0][:10, :20] = np.nan
    holed[0][50, 50] = np.inf
    holed[0][51, 51] = 3e38
    prepared = prepare(_with_stamps(packets, holed))
    stamps, masks = prepared.arrays["stamps"], prepared.arrays["masks"]
    assert prepared.flags & ZtfFlag.NAN_PIXELS
    assert masks[0].sum() == 63 * 63 - 202
    assert (stamps[0][masks[0] == 0] == 0).all()
    assert np.isfinite(stamps).all()
    whole = prepare(_with_stamps(packets, images)).arrays["stamps"]
    np.testing.assert_allclose(stamps[0][masks[0] == 1], whole[0][masks[0] == 1], atol=0.15)
    np.testing.assert_array_equal(stamps[2], whole[2])


@pytest.mark.parametrize("recipe", [DEFAULT, ALERCE, Recipe(size=31), Recipe(softening=3.0)])
@pytest.mark.parametrize("element", range(8))
def test_turned_stamps_give_turned_arrays_bit_for_bit(
    packets: Any, images: list[np.ndarray], recipe: Recipe, element: int
) -> None:
    turn = _d4()[element]
    images[0][3:9, 40:] = np.nan
    images[1][:, 60:] = np.inf
    images[2][20:25, 20:40] = np.round(images[2][20:25, 20:40])  # ties
    images[2][10, 10:14] = [0.0, -0.0, 0.0, -0.0]
    straight = prepare(_with_stamps(packets, images), recipe)
    turned = prepare(_with_stamps(packets, [turn(image) for image in images]), recipe)
    for name in ("stamps", "masks"):
        assert turned.arrays[name].tobytes() == np.ascontiguousarray(turn(straight.arrays[name])).tobytes()
    for name in ("sequence", "features"):
        assert turned.arrays[name].tobytes() == straight.arrays[name].tobytes()
    assert turned.flags == straight.flags


@settings(SURELY, max_examples=60)
@given(
    hnp.arrays(np.float32, (63, 63), elements=st.floats(width=32), fill=st.sampled_from([0.0, -0.0, 1.0, np.nan])),
    st.integers(0, 7),
)
def test_any_pixels_give_finite_arrays_and_turn(packets: Any, image: np.ndarray, element: int) -> None:
    turn = _d4()[element]
    straight = prepare(_with_stamps(packets, [image] * 3)).arrays["stamps"]
    assert np.isfinite(straight).all()
    turned = prepare(_with_stamps(packets, [turn(image)] * 3)).arrays["stamps"]
    assert turned.tobytes() == np.ascontiguousarray(turn(straight)).tobytes()


@pytest.mark.parametrize(
    ("shape", "xpos", "ypos", "rows", "columns"),
    [
        # Shapes and positions as real alerts have them.
        ((48, 63), 1564.77, 16.5466, slice(15, 63), slice(0, 63)),
        ((41, 63), 2647.12, 10.3917, slice(22, 63), slice(0, 63)),
        ((48, 63), 2298.27, 3063.7742, slice(0, 48), slice(0, 63)),
        ((63, 54), 3049.6267, 151.196, slice(0, 63), slice(0, 54)),
        ((63, 62), 3042.2703, 735.736, slice(0, 63), slice(0, 62)),
        ((48, 43), 12.31, 16.5466, slice(15, 63), slice(20, 63)),  # a corner
    ],
)
def test_cut_stamps_are_placed_by_their_position(
    packets: Any, shape: tuple[int, int], xpos: float, ypos: float, rows: slice, columns: slice
) -> None:
    whole = [packets.sky(seed) for seed in range(3)]
    cut = [image[rows, columns] for image in whole]
    assert cut[0].shape == shape
    prepared = prepare(_with_stamps(packets, cut, candidate={"xpos": xpos, "ypos": ypos}))
    masks = prepared.arrays["masks"]
    assert (masks[:, rows, columns] == 1).all()
    assert masks.sum() == 3 * shape[0] * shape[1]
    assert prepared.flags & ZtfFlag.EDGE_CUT
    assert not prepared.flags & (ZtfFlag.EDGE_SIDE_GUESSED | ZtfFlag.NAN_PIXELS | ZtfFlag.ODD_SHAPE)
    for stamp in prepared.arrays["stamps"]:
        assert np.unravel_index(stamp.argmax(), stamp.shape) == (31, 31)


@pytest.mark.parametrize("side", [slice(15, 63), slice(0, 48)])
@pytest.mark.parametrize("position", [{"xpos": None, "ypos": None}, {"xpos": 1500.0, "ypos": 1500.0}])
def test_without_a_position_that_explains_it_the_bright_side_is_guessed(
    packets: Any, side: slice, position: dict[str, Any]
) -> None:
    cut = [packets.sky(seed)[side] for seed in range(3)]
    prepared = prepare(_with_stamps(packets, cut, candidate=position))
    assert prepared.flags & ZtfFlag.EDGE_SIDE_GUESSED
    assert np.unravel_index(prepared.arrays["stamps"][2].argmax(), (63, 63)) == (31, 31)


def test_odd_shapes(packets: Any, images: list[np.ndarray]) -> None:
    large = np.pad(images[0], 4)
    prepared = prepare(_with_stamps(packets, [large, images[1], images[2]]))
    assert prepared.flags & ZtfFlag.ODD_SHAPE
    np.testing.assert_array_equal(prepared.arrays["stamps"], prepare(_with_stamps(packets, images)).arrays["stamps"])
    tiny = prepare(_with_stamps(packets, [images[0][:1, :1], images[1], images[2]]))
    assert tiny.flags & ZtfFlag.ODD_SHAPE
    assert tiny.unscorable == "the science stamp is constant"


@pytest.mark.parametrize(
    ("stamp", "flag", "reason"),
    [
        (None, ZtfFlag.MISSING_STAMP, "is missing"),
        (b"\xff\xd8\xff\xe0", ZtfFlag.JPEG_STAMP, "cannot be read: a JPEG image, which holds no fluxes"),
        (b"\x1f\x8b\x08\x00", ZtfFlag.DAMAGED_STAMP, "cannot be read: the gzip data end early"),
        (np.full((63, 63), 7.0), ZtfFlag.CONSTANT_STAMP, "is constant"),
        (np.full((63, 63), np.nan), ZtfFlag.ALL_MASKED, "has no valid pixel"),
    ],
)
@pytest.mark.parametrize("channel", range(3))
def test_unusable_stamps_are_zeros_with_a_flag_and_a_reason(
    packets: Any, channel: int, stamp: Any, flag: ZtfFlag, reason: str
) -> None:
    data = packets.stamp(stamp) if isinstance(stamp, np.ndarray) else stamp
    prepared = prepare(packets.decode_one(**{NAMES[channel]: data and packets.cutout(data)}))
    assert prepared.flags & flag
    assert (prepared.arrays["stamps"][channel] == 0).all()
    assert all(np.isfinite(array).all() for array in prepared.arrays.values())
    if channel == 1:
        assert prepared.unscorable is None
        assert prepared.flags & ZtfFlag.NO_TEMPLATE
    else:
        assert prepared.unscorable is not None
        assert prepared.unscorable.startswith(f"the {('science', '', 'difference')[channel]} stamp {reason}")


def test_no_science_scales_the_template_by_itself(packets: Any) -> None:
    stamps = prepare(packets.decode_one(cutoutScience=None)).arrays["stamps"]
    assert np.percentile(np.sinh(stamps[1]), 15.87) == pytest.approx(-1, abs=0.05)


def test_raw_fits_is_flagged_and_equal(packets: Any, images: list[np.ndarray]) -> None:
    raw = {name: packets.cutout(packets.fits_bytes(image)) for name, image in zip(NAMES, images, strict=True)}
    prepared = prepare(packets.decode_one(**raw))
    assert prepared.flags & ZtfFlag.RAW_FITS
    np.testing.assert_array_equal(prepared.arrays["stamps"], prepare(_with_stamps(packets, images)).arrays["stamps"])


def test_a_sky_of_which_half_is_equal(packets: Any, images: list[np.ndarray]) -> None:
    images[2][:40] = 3.0
    stamps = prepare(_with_stamps(packets, images)).arrays["stamps"]
    assert np.isfinite(stamps).all()
    assert stamps[2].max() > 0


def test_preparing_is_deterministic_and_changes_no_input(packets: Any, images: list[np.ndarray]) -> None:
    alert = _with_stamps(packets, images)
    first, second = prepare(alert), prepare(alert)
    for name, array in first.arrays.items():
        assert array.tobytes() == second.arrays[name].tobytes()
        assert not np.shares_memory(array, second.arrays[name])


def test_the_alerce_recipe(packets: Any, images: list[np.ndarray]) -> None:
    images[0][30, 30] = np.nan
    stamps = prepare(_with_stamps(packets, images), ALERCE).arrays["stamps"]
    assert stamps.shape == (3, 21, 21)
    for image, stamp in zip(images, stamps, strict=True):
        crop = image[21:42, 21:42]
        expected = np.nan_to_num((crop - np.nanmin(crop)) / (np.nanmax(crop) - np.nanmin(crop)))
        np.testing.assert_allclose(stamp, expected, atol=1e-6)
