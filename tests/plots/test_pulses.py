"""Windows of pulses: what is masked is not drawn, and the residual is the difference."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.models.leela.rebuilding import RebuiltPulses
from fulgor.plots.pulses import pulse_gallery, rebuilt_pulses
from fulgor.preprocessing.leela import NOMINAL_INTERVAL_NS

RANDOM = np.random.default_rng(2)


def test_a_pulse_stands_beside_what_is_rebuilt_of_it():
    seen, rebuilt = RANDOM.normal(0, 0.2, (2, 2, 256)).astype(np.float32)
    seen[1, 40] = 3.0  # a stronger pulse nearby
    inside = np.ones((2, 256), bool)
    inside[1, 200:] = False
    figure = rebuilt_pulses(RebuiltPulses(seen, rebuilt, inside, np.array([0.5, 2.0], np.float32)), [20.0, 5.0])
    figure.canvas.draw()
    first, _, second, residual = figure.axes
    assert np.isnan(second.lines[0].get_ydata()[200:]).all()
    np.testing.assert_allclose(residual.lines[0].get_ydata()[:200], (seen - rebuilt)[1, :200])
    assert first.lines[0].get_xdata()[128] == 0
    assert first.lines[0].get_xdata()[129] == pytest.approx(NOMINAL_INTERVAL_NS / 1e6)
    assert second.get_ylim()[1] > 3 > first.get_ylim()[1]
    assert residual.patches[0].get_height() == pytest.approx(2 / 5)
    assert residual.get_xlabel().endswith("(ms)")


def test_each_kind_has_a_row_of_examples():
    examples = {"fast": RANDOM.normal(size=(3, 256)), "slow": RANDOM.normal(size=(2, 256))}
    figure = pulse_gallery(examples, {"fast": "3 pulses", "slow": "2 pulses"})
    figure.canvas.draw()
    assert [len(axes.lines) for axes in figure.axes] == [1, 1, 1, 1, 1, 0]
    assert figure.axes[3].texts[0].get_text() == "slow: 2 pulses"
