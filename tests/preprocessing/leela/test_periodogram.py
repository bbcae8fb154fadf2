"""The seed's periodogram against scipy, and the filter against scipy's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt, spectrogram

from fulgor.preprocessing.leela import DEFAULT, periodogram
from fulgor.preprocessing.leela.filters import band_pass, with_edges

INTERVAL_NS = 9142.859755


def of_scipy(signals: np.ndarray, segment: int) -> np.ndarray:
    frequencies, _, power = spectrogram(signals, 1e9 / INTERVAL_NS, nperseg=segment)
    kept = power[..., frequencies <= 22_000, :]
    return kept / kept.max(axis=(-2, -1), keepdims=True)


def filtered(samples: np.ndarray) -> np.ndarray:
    return band_pass(with_edges(samples, DEFAULT.guard), INTERVAL_NS, DEFAULT).signal


@pytest.mark.parametrize(("segment", "shape"), [(32, (7, 36)), (64, (13, 18)), (128, (26, 9))])
def test_a_batch_equals_scipy(segment, shape):
    signals = filtered(np.random.default_rng(2).normal(0, 50, (6, 1024)))
    ours = periodogram(signals, INTERVAL_NS, segment)
    assert ours.shape == (6, *shape)
    np.testing.assert_allclose(ours, of_scipy(signals, segment), atol=1e-12)


def test_silence_gives_zeros():
    assert not periodogram(np.zeros((2, 1024)), INTERVAL_NS).any()


@pytest.mark.real
def test_the_real_chunks_equal_scipy(shared: Path):
    chunks = np.load(shared / "data" / "leela" / "akrotiri_202302131710.npy")["wvfmdata"]
    signals = filtered(chunks)
    np.testing.assert_allclose(periodogram(signals, INTERVAL_NS), of_scipy(signals, 64), atol=1e-9)


def test_the_filter_is_scipys_away_from_the_edges():
    samples = np.random.default_rng(3).normal(0, 50, (3, 1024))
    sos = butter(4, [2e3, 18e3], "bandpass", fs=1e9 / INTERVAL_NS, output="sos")
    expected = sosfiltfilt(sos, samples - samples.mean(axis=1, keepdims=True), axis=1)
    np.testing.assert_allclose(filtered(samples)[:, 128:-128], expected[:, 128:-128], atol=0.1)


def test_the_causal_path_does_not_precede_its_cause():
    step = np.zeros(1024)
    step[500:520] = 1000.0
    found = band_pass(with_edges(step, DEFAULT.guard), INTERVAL_NS, DEFAULT)
    assert found.causal[:499].max() < 0.35 * found.causal.max()
    assert np.argmax(found.causal) > np.argmax(found.envelope) - 2
