"""Anomaly by class."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.plots import anomaly_by_class


def test_each_class_has_a_row_with_its_median():
    anomaly = np.concatenate([np.linspace(0, 1, 101), np.full(9, 0.9)])
    figure = anomaly_by_class(anomaly, ["VS"] * 101 + ["bogus"] * 9, names=("SN", "VS", "bogus"))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["SN", "VS", "bogus"]
    medians = {round(float(np.mean(line.get_ydata()))): float(line.get_xdata()[0]) for line in axes.lines}
    assert medians == {1: pytest.approx(0.5), 2: pytest.approx(0.9)}
    assert "anomaly" in axes.get_xlabel()


def test_a_large_class_is_sampled_not_drawn_black():
    figure = anomaly_by_class(np.linspace(0, 1, 5000), ["VS"] * 5000)
    assert len(figure.axes[0].collections[0].get_offsets()) == 400
