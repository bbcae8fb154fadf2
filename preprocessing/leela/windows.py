"""Windows around pulses, at the network's usual sampling whatever the chunk's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fulgor.preprocessing.leela.pulses import Pulse
from fulgor.preprocessing.leela.recipe import NOMINAL_INTERVAL_NS

__all__ = ["is_usual", "take_windows"]

# Over a window of 256 samples such a difference shifts the outermost sample by less than an eighth.
_TOLERANCE = 1e-3


def is_usual(interval_ns: float) -> bool:
    """Tell whether the sampling interval is the network's."""
    return abs(interval_ns - NOMINAL_INTERVAL_NS) <= _TOLERANCE * NOMINAL_INTERVAL_NS


def take_windows(
    signal: NDArray[np.float64], pulses: Sequence[Pulse], interval_ns: float, size: int, guard: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return peak-centred windows of a band-passed signal.

    Parameters
    ----------
    signal : ndarray
        float64 (n,).
    pulses : sequence of Pulse
        Their ``peak`` becomes sample ``size // 2`` of the window.
    interval_ns : float
        Sampling interval; the windows are resampled where it is not the usual one.
    size : int
        Length of a window.
    guard : int
        Samples of surroundings that `signal` has before the sample that the pulses count as 0.

    Returns
    -------
    windows : ndarray
        float32 (pulses, size), in the signal's unit; 0 outside of the signal.
    inside : ndarray
        bool (pulses, size): which samples lie within the signal.
    """
    ratio = 1.0 if is_usual(interval_ns) else NOMINAL_INTERVAL_NS / interval_ns
    steps = (np.arange(size) - size // 2) * ratio
    places = guard + np.array([pulse.peak for pulse in pulses])[:, None] + steps
    inside = (places >= 0) & (places <= len(signal) - 1)
    clipped = np.clip(places, 0, len(signal) - 1)
    values = signal[clipped.astype(np.intp)] if ratio == 1.0 else _between(signal, clipped)
    return np.where(inside, values, 0.0).astype(np.float32), inside


def _between(signal: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a signal between its samples."""
    from scipy.interpolate import CubicSpline  # slow to import, and few receivers need it

    return np.asarray(CubicSpline(np.arange(len(signal)), signal)(places), np.float64)
