"""Losses against passes."""

from __future__ import annotations

import numpy as np

from fulgor.plots.training import training_curves


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_both_losses_are_drawn_and_the_pass_that_was_kept_is_named():
    figure = training_curves([3.0, 2.0, 1.5, 1.4], [3.1, 2.4, 2.2, 2.3], "A training")
    training, validation = figure.axes[0].lines[:2]
    assert training.get_ydata().tolist() == [3.0, 2.0, 1.5, 1.4]
    assert validation.get_xdata().tolist() == [1, 2, 3, 4]
    assert "kept: pass 3, 2.2" in texts(figure)
    assert figure.axes[0].get_yscale() == "linear"


def test_one_pass_and_losses_that_are_none_can_be_drawn():
    training_curves([1.0], [1.0]).canvas.draw()
    figure = training_curves([np.inf, 100.0, 1.0], [np.nan, 90.0, 1.2])
    figure.canvas.draw()
    assert "kept: pass 3, 1.2" in texts(figure)
    assert figure.axes[0].get_yscale() == "log"
