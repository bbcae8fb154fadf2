"""An alert beside what the decoder makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.models.rebuilding import Rebuilt
from fulgor.plots.reconstruction import reconstruction


def rebuilt(valid: np.ndarray) -> Rebuilt:
    random = np.random.default_rng(1)
    seen, drawn = random.normal(size=(2, 3, 31, 31)).astype(np.float32)
    return Rebuilt(("science", "template", "difference"), seen, drawn, valid, 0.2)


def test_each_image_has_a_row_of_four():
    valid = np.ones((3, 31, 31), bool)
    valid[1, :, :10] = False
    found = rebuilt(valid)
    figure = reconstruction(found, "A heading")
    panels = [axes for axes in figure.axes if axes.get_title() or axes.images]
    assert len(panels) == 12
    assert [axes.get_title() for axes in panels[:4]] == ["seen", "rebuilt", "seen - rebuilt", "mask"]
    assert [panels[row].get_ylabel() for row in (0, 4, 8)] == ["science", "template", "difference"]
    residual = panels[6].images[0].get_array()
    assert residual.mask[:, :10].all()
    np.testing.assert_allclose(residual[:, 10:], (found.seen - found.rebuilt)[1, :, 10:], rtol=1e-6)
    assert not np.ma.is_masked(panels[5].images[0].get_array())  # the rebuilt image has no gaps
    assert panels[4].images[0].get_clim() == panels[5].images[0].get_clim()
    low, high = panels[6].images[0].get_clim()
    assert low == -high


@pytest.mark.parametrize("valid", [False, True])
def test_stamps_without_a_pixel_or_without_noise_can_be_drawn(valid):
    nothing = np.zeros((1, 31, 31), np.float32)
    figure = reconstruction(Rebuilt(("science",), nothing, nothing, np.full((1, 31, 31), valid), float("nan")))
    figure.canvas.draw()
