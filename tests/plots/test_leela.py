"""A chunk with its pulses marked: the marks stand where the pulses are, and chunks without any can be drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes

from fulgor.plots.leela import chunk_picture, flag_words
from fulgor.preprocessing.leela import DEFAULT, LeelaChunk, LeelaFlag, prepare

INTERVAL_NS = 9142.857
PLACES = (300, 700)


def chunk_of(samples: np.ndarray) -> LeelaChunk:
    return LeelaChunk(
        "akrotiri", "", 1_676_308_263_352_663_230, None, None, INTERVAL_NS, None, None, False, samples, bytes(16)
    )


@pytest.fixture(scope="module")
def chunk() -> LeelaChunk:
    """Return a chunk with a positive pulse and a negative one."""
    time = np.arange(1024)
    samples = np.random.default_rng(1).normal(-300, 10, 1024)
    for place, height in zip(PLACES, (900.0, -600.0), strict=True):
        samples += height * np.exp(-(((time - place) / 6) ** 2)) * np.cos((time - place) * 2 * np.pi / 14)
    return chunk_of(samples)


def panels(chunk: LeelaChunk) -> list[Axes]:
    figure = chunk_picture(chunk, prepare(chunk))
    figure.canvas.draw()
    return figure.axes


def test_marks_stand_where_the_pulses_are(chunk: LeelaChunk):
    pulses = prepare(chunk).pulses
    assert [pulse.peak for pulse in pulses] == [pytest.approx(place, abs=3) for place in PLACES]
    raw, passed, words = panels(chunk)
    step_ms = INTERVAL_NS / 1e6
    marks = [line for line in passed.lines if line.get_marker() in ("^", "v")]
    assert [line.get_marker() for line in marks] == ["^", "v"]
    assert [line.get_xdata()[0] for line in marks] == pytest.approx([pulse.peak * step_ms for pulse in pulses])
    guards, spans = passed.patches[:2], passed.patches[2:]
    edges = [[span.get_x(), span.get_x() + span.get_width()] for span in spans]
    assert edges == [pytest.approx([pulse.start * step_ms, pulse.end * step_ms]) for pulse in pulses]
    assert [guard.get_width() for guard in guards] == pytest.approx([DEFAULT.guard * step_ms] * 2)
    assert [text.get_text().split(":")[0] for text in words.texts] == ["1", "2"]
    assert f"SNR {pulses[1].snr:.1f}, negative" in words.texts[1].get_text()
    np.testing.assert_array_equal(raw.lines[0].get_ydata(), chunk.samples)
    assert passed.get_xlabel().endswith("(ms)")
    assert (raw.get_ylabel(), passed.get_ylabel()) == ("as received (counts)", "2 to 18 kHz (counts)")


def test_a_chunk_without_a_pulse_says_so():
    raw, passed, words = panels(chunk_of(np.random.default_rng(3).normal(0, 10, 1024)))
    assert "no pulse stands out" in passed.texts[0].get_text()
    assert not words.texts
    assert any("no pulse" in text.get_text() for text in raw.texts)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [(np.full(1024, np.nan), "not finite"), (np.zeros(1024), "are 0"), (np.arange(16.0), "16 samples")],
)
def test_an_unusable_chunk_is_drawn_with_the_reason(samples: np.ndarray, reason: str):
    _, passed, words = panels(chunk_of(samples))
    assert reason in passed.texts[0].get_text()
    assert not passed.lines
    assert not words.texts


def test_infinite_samples_and_impossible_times_can_be_drawn(chunk: LeelaChunk):
    samples = chunk.samples.copy()
    samples[5] = np.inf
    raw = panels(replace(chunk, samples=samples, start_ns=-(2**63)))[0]
    assert np.isnan(raw.lines[0].get_ydata()[5])


def test_flags_in_words():
    assert flag_words(LeelaFlag.NEAR_EDGE | LeelaFlag.CLIPPED) == "clipped, near edge"
    assert flag_words(LeelaFlag(0)) == "no flag"
