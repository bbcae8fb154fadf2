"""The picture of a periodogram: a tone lies at its frequency and time, in kHz and ms."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.plots.periodogram import periodogram_picture
from fulgor.preprocessing.leela import periodogram

INTERVAL_NS = 9142.857


@pytest.mark.parametrize("segment", [32, 64, 128])
def test_a_burst_lies_at_its_frequency_and_time(segment: int):
    time = np.arange(1024) * INTERVAL_NS / 1e9
    burst = np.sin(2 * np.pi * 10_000 * time) * np.exp(-(((time - 4e-3) / 5e-4) ** 2))
    image = periodogram(burst, INTERVAL_NS, segment)
    figure = periodogram_picture(image, INTERVAL_NS, segment=segment)
    axes = figure.axes[0]
    cells = axes.collections[0].get_coordinates()
    row, column = np.unravel_index(image.argmax(), image.shape)
    (left, low), (right, high) = cells[row, column], cells[row + 1, column + 1]
    assert low <= 10 <= high
    assert abs((left + right) / 2 - 4) < right - left
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time (ms)", "frequency (kHz)")


def test_what_is_rebuilt_stands_beside_it_with_the_difference():
    image = np.random.default_rng(1).random((13, 18))
    figure = periodogram_picture(image, INTERVAL_NS, image * 0.5)
    figure.canvas.draw()
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["periodogram", "rebuilt", "periodogram - rebuilt"]
    seen, rebuilt, residual = (axes.collections[0] for axes in panels)
    assert seen.get_clim() == rebuilt.get_clim() == (0, 1)
    assert residual.get_clim() == (-1, 1)
    np.testing.assert_allclose(residual.get_array(), image * 0.5)
