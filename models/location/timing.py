"""Arrival times of a pulse, read off its window: the envelope's edge, and the waves beneath it.

The envelope's peak moves by 100 microseconds where a skywave follows the ground wave; the half height
of its rising edge belongs to the first wave (on simulated strokes it scatters by 5 to 10 microseconds
where the peak scatters by 30). The extrema of the signal are sharper still, but which is which has to
be found: one cycle is some 100 microseconds, or 30 km.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft, ifft

__all__ = ["Timing", "timing"]

_EDGE = 0.25  # of the envelope's peak: a skywave may be three times the ground wave
_FRONT_SAMPLES = 48  # before the peak, in which the edge is looked for
_LEAST_EXTREMUM = 0.3  # of the largest one

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Timing:
    """Arrival times relative to the window's centre.

    Parameters
    ----------
    edge_us : float
        Half height of the envelope's rising edge.
    extrema_us : ndarray
        float64 (n,): extrema of the signal near the edge, in time order.
    signs : ndarray
        int8 (n,): 1 for maxima, -1 for minima.
    """

    edge_us: float
    extrema_us: Floats
    signs: NDArray[np.int8]


def timing(window: NDArray[np.floating], interval_us: float) -> Timing:
    """Return the arrival times of a pulse.

    Parameters
    ----------
    window : ndarray
        (n,): band-passed samples with the envelope's peak in the middle (sample ``n // 2``).
    interval_us : float
        Between two samples.
    """
    signal = np.asarray(window, np.float64)
    envelope = np.abs(_analytic(signal))
    centre = len(signal) // 2
    low = max(0, centre - _FRONT_SAMPLES)
    edge = _last_crossing(envelope[low : centre + 1], _EDGE * envelope[centre]) + low
    extrema, signs = _extrema(signal, low, centre)
    return Timing((edge - centre) * interval_us, (extrema - centre) * interval_us, signs)


def _analytic(signal: Floats) -> NDArray[np.complex128]:
    spectrum = fft(signal)
    half = len(signal) // 2
    spectrum[1:half] *= 2
    spectrum[half + 1 :] = 0
    return np.asarray(ifft(spectrum), np.complex128)


def _last_crossing(rising: Floats, level: float) -> float:
    """Return where the values last rise through a level, between samples; 0 where they are above it throughout."""
    below = np.flatnonzero(rising < level)
    if not len(below) or below[-1] + 1 >= len(rising):
        return 0.0
    last = int(below[-1])
    return last + float((level - rising[last]) / (rising[last + 1] - rising[last]))


def _extrema(signal: Floats, low: int, centre: int) -> tuple[Floats, NDArray[np.int8]]:
    """Return places (between samples) and signs of the marked extrema from `low` to as far behind the centre."""
    part = np.abs(signal[low : 2 * centre - low + 1])
    inner = part[1:-1]
    top = _LEAST_EXTREMUM * part.max(initial=0.0)
    at = 1 + np.flatnonzero((inner >= part[:-2]) & (inner > part[2:]) & (inner >= top) & (inner > 0))
    before, here, after = part[at - 1], part[at], part[at + 1]
    curvature = before - 2 * here + after
    shift = np.divide(0.5 * (before - after), curvature, out=np.zeros(len(at)), where=curvature < 0)
    return low + at + np.clip(shift, -0.5, 0.5), np.where(signal[low + at] >= 0, 1, -1).astype(np.int8)
