"""One object's way through the latents."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.plots.maps import Projection
from fulgor.plots.path import ObjectPath, latent_path


@pytest.fixture
def plane() -> Projection:
    return Projection(np.random.default_rng(2).normal(size=(50, 2)), (0.5, 0.2))


def path(which: list[int], days: list[float]) -> ObjectPath:
    return ObjectPath(np.array(which, np.int64), np.array(days), np.full((len(which), 3), 1 / 3))


def test_the_alerts_are_joined_in_the_order_of_time(plane):
    figure = latent_path(plane, path([7, 3, 11], [5.0, 0.0, 2.5]), ("AGN", "SN", "VS"), "An object")
    way = figure.axes[0].lines[0]
    np.testing.assert_array_equal(np.transpose(way.get_data()), plane.points[[3, 11, 7]])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "first" in texts
    assert "last" in texts
    assert "3 alerts in 5 days, among 50" in texts
    assert figure.axes[0].get_xlabel() == "principal component 1 (50% of the variance)"


def test_alerts_at_one_place_can_be_drawn():
    plane = Projection(np.zeros((4, 2)), None)
    figure = latent_path(plane, path([0, 1], [0.0, 0.0]), ("AGN", "SN", "VS"), "An object")
    figure.canvas.draw()
    assert "UMAP 1" in figure.axes[0].get_xlabel()


def test_one_alert_is_no_path(plane):
    with pytest.raises(ModelError, match="a path needs two alerts, the object has 1"):
        latent_path(plane, path([7], [0.0]), ("AGN", "SN", "VS"), "An object")
