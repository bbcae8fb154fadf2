"""The map of strokes: ellipses lie as their azimuth says."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Ellipse

from fulgor.plots.strokes import Place, stroke_map


@pytest.mark.parametrize(("azimuth", "along"), [(0.0, "north"), (90.0, "east")])
def test_an_ellipse_lies_along_its_azimuth(azimuth: float, along: str):
    figure = stroke_map([Place(60.0, 5.0, 50.0, 5.0, azimuth, False)], [(60.1, 5.1)])
    (ellipse,) = [patch for patch in figure.axes[0].patches if isinstance(patch, Ellipse)]
    corners = ellipse.get_corners()
    east, north = np.ptp(corners, axis=0) * 111.2 * np.array([0.5, 1.0])
    assert {"north": north, "east": east}[along] == pytest.approx(100, rel=0.01)
    assert {"north": east, "east": north}[along] == pytest.approx(10, rel=0.01)


def test_flagged_strokes_do_not_set_the_frame():
    figure = stroke_map([Place(50.0, 5.0, 5, 2, 10, False), Place(20.0, 80.0, 500, 20, 10, True)])
    assert figure.axes[0].get_xlim()[1] < 10
    figure.canvas.draw()
