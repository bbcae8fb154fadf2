"""Light curves."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from fulgor.plots import LightCurve, light_curve


@pytest.fixture
def curve() -> LightCurve:
    return LightCurve(
        days=np.array([-20.0, -10.0, -3.0, 0.0]),
        bands=np.array(["g", "r", "g", "r"]),
        magnitudes=np.array([np.nan, 19.0, 18.5, 18.2]),
        errors=np.array([np.nan, 0.1, 0.08, 0.05]),
        limits=np.array([20.5, 20.4, 20.3, 20.6]),
        negative=np.array([False, False, True, False]),
    )


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_bright_is_up_and_the_axes_have_units(curve, tmp_path):
    figure = light_curve(curve, "Light curve of ZTF26abc")
    (axes,) = figure.axes
    bottom, top = axes.get_ylim()
    assert bottom > 20.5 > 18.2 > top
    assert axes.get_xlabel() == "days before the alert"
    assert "AB" in axes.get_ylabel()
    assert "Light curve of ZTF26abc" in [text.get_text() for text in axes.texts]
    figure.savefig(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5_000


def test_only_a_visit_without_detection_shows_its_limit(curve):
    axes = light_curve(curve).axes[0]
    limits = [points.get_offsets().tolist() for points in axes.collections if isinstance(points, PathCollection)]
    assert [place for places in limits for place in places] == [[-20.0, 20.5]]
    assert legend(axes) == ["g", "r", "fainter than template", "limit"]


def test_a_curve_of_detections_names_its_bands_only(curve):
    plain = LightCurve(curve.days, curve.bands, np.full(4, 18.0), np.full(4, 0.1), curve.limits, np.zeros(4, bool))
    assert legend(light_curve(plain).axes[0]) == ["g", "r"]


def test_times_after_the_alert_are_called_so(curve):
    later = LightCurve(curve.days + 5, curve.bands, curve.magnitudes, curve.errors, curve.limits, curve.negative)
    assert light_curve(later).axes[0].get_xlabel() == "days from the alert"
