"""Windows around pulses, at the network's usual sampling whatever the chunk's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fulgor.preprocessing.leela.recipe import NOMINAL_INTERVAL_NS

__all__ = ["is_usual", "take_windows"]

# Over a window of 256 samples such a difference shifts the outermost sample by less than an eighth.
_TOLERANCE = 1e-3


def is_usual(interval_ns: float) -> bool:
    """Tell whether the sampling interval is the network's."""
    return abs(interval_ns - NOMINAL_INTERVAL_NS) <= _TOLERANCE * NOMINAL_INTERVAL_NS


def take_windows(
    signals: NDArray[np.float64], of: NDArray[np.intp], peaks: NDArray[np.intp], interval_ns: float, size: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return peak-centred windows of band-passed signals.

    Parameters
    ----------
    signals : ndarray
        float64 (chunks, n).
    of, peaks : ndarray
        (m,): the chunk of each pulse, and the sample that becomes sample ``size // 2`` of its window.
    interval_ns : float
        Sampling interval; the windows are resampled where it is not the usual one.
    size : int
        Length of a window.

    Returns
    -------
    windows : ndarray
        float32 (m, size), in the signals' unit; 0 outside of the signal.
    inside : ndarray
        bool (m, size): which samples lie within the signal.
    """
    last = signals.shape[1] - 1
    steps = np.arange(size) - size // 2
    if is_usual(interval_ns):
        places = peaks[:, None] + steps
        values = signals[of[:, None], np.clip(places, 0, last)]
    else:
        places = peaks[:, None] + steps * (NOMINAL_INTERVAL_NS / interval_ns)
        values = _between(signals, of, np.clip(places, 0, last))
    inside = (places >= 0) & (places <= last)
    return np.where(inside, values, 0.0).astype(np.float32), inside


def _between(signals: NDArray[np.float64], of: NDArray[np.intp], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return signals between their samples: (m, size)."""
    from scipy.interpolate import CubicSpline  # slow to import, and few receivers need it

    steps, values = np.arange(signals.shape[1]), np.empty(places.shape)
    for chunk in np.unique(of).tolist():
        values[of == chunk] = CubicSpline(steps, signals[chunk])(places[of == chunk])
    return values
