"""The periodogram of the first LEELA autoencoder: 13 frequencies by 18 times, divided by its own maximum.

The same numbers as ``scipy.signal.spectrogram(x, fs, nperseg=64)`` with its defaults (Tukey window of
shape 0.25, overlap an eighth, mean removed from each segment, density), cut at 22 kHz, but for a whole
batch at once. It is to be taken of band-passed chunks: of a raw one, four fifths of the power are hum.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import rfft

__all__ = ["HIGHEST_HZ", "SEGMENT", "periodogram"]

SEGMENT = 64
"""Samples of a segment."""

HIGHEST_HZ = 22_000.0


def periodogram(signals: NDArray[np.float64], interval_ns: float, segment: int = SEGMENT) -> NDArray[np.float64]:
    """Return the normalised periodograms of band-passed chunks.

    Parameters
    ----------
    signals : ndarray
        float64 (..., n).
    interval_ns : float
        Sampling interval.
    segment : int
        Samples of a segment; 64 gives 13 by 18 for 1,024 samples at 9.142857 us.

    Returns
    -------
    ndarray
        float64 (..., frequencies, times), each with a maximum of 1; zeros for a chunk without power.
    """
    from scipy.signal import get_window  # slow to import: only where it is used

    rate = 1e9 / interval_ns
    segments = sliding_window_view(signals, segment, axis=-1)[..., :: segment - segment // 8, :]
    tapered = (segments - segments.mean(axis=-1, keepdims=True)) * get_window(("tukey", 0.25), segment)
    power = np.abs(rfft(tapered, axis=-1)) ** 2
    power[..., 1 : segment // 2 if segment % 2 == 0 else None] *= 2  # one side stands for both
    kept = int(np.searchsorted(np.fft.rfftfreq(segment, 1 / rate), HIGHEST_HZ, side="right"))
    image = np.swapaxes(power[..., :kept], -1, -2)
    top = image.max(axis=(-2, -1), keepdims=True)
    normalised: NDArray[np.float64] = np.divide(image, top, out=np.zeros_like(image), where=top > 0)
    return normalised
