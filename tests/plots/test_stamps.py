"""Stamps: the stretch, the frame, what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.plots import Card, Stamps, gallery, stamp_triplet
from fulgor.plots.stamps import stretch


@pytest.fixture
def image() -> np.ndarray:
    """Sky of 200 with noise 5, and a star of 4,000 in the middle."""
    y, x = np.mgrid[-31:32, -31:32]
    random = np.random.default_rng(1)
    return (200 + random.normal(0, 5, (63, 63)) + 4000 * np.exp(-(x**2 + y**2) / 8)).astype(np.float32)


def test_the_stretch_shows_noise_and_star_at_once(image):
    shown = stretch(image)
    sky, faint, bright = shown(np.array([200.0, 240.0, 4000.0]))
    assert 0.1 < sky < 0.4
    assert faint - sky > 0.15, "a signal of eight sigma can be seen"
    assert bright > 0.95


def test_the_stretch_of_a_difference_is_symmetric_about_the_sky():
    random = np.random.default_rng(2)
    pixels = random.normal(3.0, 1.0, (63, 63))
    pixels[31, 31], pixels[10, 10] = 400.0, -200.0
    low, middle, high = stretch(pixels, signed=True)(np.array([3.0 - 50.0, 3.0, 3.0 + 50.0]))
    assert middle == pytest.approx(0.5, abs=0.02)
    assert high - middle == pytest.approx(middle - low, abs=0.04)


@pytest.mark.parametrize("pixels", [np.full((5, 5), 7.0), np.full((5, 5), np.nan), np.zeros((3, 3))])
def test_the_stretch_of_nothing_does_not_fail(pixels):
    assert np.ma.masked_invalid(stretch(pixels)(pixels)).filled(0.5).min() >= 0


def test_the_triplet_has_three_named_images_in_arc_seconds(image, tmp_path):
    image[:, :5] = np.nan
    figure = stamp_triplet(Stamps(image, image, image - 200), "ZTF26abc")
    figure.savefig(tmp_path / "stamps.png")
    assert [axes.get_title() for axes in figure.axes] == ["science", "template", "difference"]
    assert all("arcsec" in axes.get_xlabel() for axes in figure.axes)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["-30", "-15", "0", "15", "30"]
    left, right = figure.axes[0].get_xticks()[[0, -1]]
    assert right - left == pytest.approx(60 / 1.012)
    assert (tmp_path / "stamps.png").stat().st_size > 10_000


def test_a_missing_stamp_is_said_to_be_missing(image):
    figure = stamp_triplet(Stamps(image, None, np.full((63, 63), np.nan, np.float32)))
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [[], ["no stamp"], ["no stamp"]]


def test_a_gallery_has_a_row_for_each_alert(image):
    cards = [Card(Stamps(image, image, image), f"ZTF{number}", ["SN", "anomaly 0.9"]) for number in range(3)]
    figure = gallery(cards)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert [text for text in texts if text.startswith("ZTF")] == ["ZTF0", "ZTF1", "ZTF2"]
    assert sum(len(axes.images) for axes in figure.axes) == 9
