"""The night in one picture."""

from __future__ import annotations

import numpy as np
from matplotlib.image import imread

from fulgor.plots import Card, LightCurve, Stamps
from fulgor.plots.night import NightPicture, night_picture

NAMES = ("AGN", "SN", "VS", "asteroid", "bogus")


def picture(count: int, cards: int, curve: LightCurve | None) -> NightPicture:
    random = np.random.default_rng(4)
    stamp = random.normal(100, 3, (63, 63))
    return NightPicture(
        heading="One night",
        subheading="of alerts",
        latents=random.normal(size=(count, 64)),
        classes=[NAMES[number % 5] for number in range(count)],
        names=NAMES,
        anomaly=random.random(count),
        strangest=range(cards),
        cards=[
            Card(Stamps(stamp, stamp, stamp), f"{number}  ZTF", ["SN  (p = 0.90)", "anomaly 0.9"])
            for number in range(cards)
        ],
        curve=curve,
        curve_heading="Light curve",
    )


def test_the_picture_is_1600_pixels_wide_and_no_text_overlaps(tmp_path):
    days = np.array([-2.0, 0.0])
    curve = LightCurve(days, np.array(["g", "r"]), days + 19, days * 0 + 0.1, days + 21, days > 1)
    figure = night_picture(picture(300, 6, curve))
    figure.savefig(tmp_path / "night.png", dpi=100)
    assert imread(tmp_path / "night.png").shape[1] == 1600
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in [*figure.texts, *(text for axes in figure.axes for text in (*axes.texts, axes.title))]
        if text.get_text().strip()
    ]
    assert len(boxes) > 30
    for number, (one, box) in enumerate(boxes):
        clash = [other for other, place in boxes[number + 1 :] if box.overlaps(place)]
        assert not clash, f"{one!r} lies over {clash}"
        assert box.x0 >= 0, one
        assert box.x1 <= 1600, one


def test_a_night_of_few_alerts_without_packets_has_a_picture(tmp_path):
    night_picture(picture(3, 0, None)).savefig(tmp_path / "night.png")
    assert (tmp_path / "night.png").exists()
