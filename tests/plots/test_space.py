"""Latents in space: three components, shadows on the floor, a colour for each class."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.plots.maps import principal_axes, principal_plane
from fulgor.plots.space import latent_space


def test_latents_lie_along_their_largest_components():
    random = np.random.default_rng(4)
    latents = random.normal(size=(200, 6)) * np.array([1, 9, 0.1, 4, 0.1, 0.1])
    points, explained = principal_axes(latents, 3)
    assert abs(np.corrcoef(points[:, 0], latents[:, 1])[0, 1]) > 0.99
    assert abs(np.corrcoef(points[:, 2], latents[:, 0])[0, 1]) > 0.98
    assert sorted(explained, reverse=True) == list(explained)
    np.testing.assert_array_equal(principal_plane(latents).points, points[:, :2])
    figure = latent_space(latents, ["b"] * 150 + ["a"] * 50, names=["a", "b", "c"])
    figure.canvas.draw()
    (axes,) = figure.axes
    clouds = [cloud.get_offsets() for cloud in axes.collections]
    assert [len(cloud) for cloud in clouds] == [50, 50, 150, 150, 0, 0]
    assert axes.get_zlim()[0] < points[:, 2].min()
    assert axes.get_xlabel() == f"component 1 ({explained[0]:.0%})"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a (50)", "b (150)", "c (0)"]


@pytest.mark.parametrize("count", [1, 2])
def test_few_latents_can_be_drawn(count: int):
    latent_space(np.random.default_rng(1).normal(size=(count, 5)), ["a"] * count).canvas.draw()
