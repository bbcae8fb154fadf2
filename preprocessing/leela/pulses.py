"""Pulse description words: where each pulse starts, peaks and ends, its sign, rise and strength."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fulgor.preprocessing.leela.filters import Filtered
from fulgor.preprocessing.leela.recipe import Recipe

__all__ = ["Pulse", "find_pulses", "loudest", "noise_level"]

Floats = NDArray[np.float64]

#: Standard deviation of a normal distribution over its median absolute deviation.
_MAD = 1.4826
# A pulse ends where its envelope has sunk to this part of its peak, or into the noise.
_FOOT, _FOOT_NOISES = 0.1, 2.0
# The signed extremum is looked for within half a period of the band's middle around the envelope's peak.
_HALF_PERIOD_HZ = 10_000.0
_RISE_FROM, _RISE_TO = 0.1, 0.9
# The causal path lags by the filter's delay: its peak is looked for within so many samples behind.
_CAUSAL_LAG = 32


@dataclass(frozen=True, slots=True)
class Pulse:
    """One pulse; indices count samples of its chunk.

    Parameters
    ----------
    start, peak, end : int
        First sample, largest sample of the envelope, last sample.
    peak_at : float
        The envelope's peak between the samples (parabola through three).
    polarity : int
        Sign of the largest excursion of the band-passed signal: 1 or -1.
    amplitude : float
        Its modulus, in the samples' unit.
    snr : float
        Peak of the envelope over the noise.
    rise : float
        Filtered rise time: samples from 10 to 90 % of the causal envelope.
    """

    start: int
    peak: int
    end: int
    peak_at: float
    polarity: int
    amplitude: float
    snr: float
    rise: float


def noise_level(signal: Floats) -> float:
    """Return the robust standard deviation of a band-passed chunk: pulses hardly move it."""
    return _MAD * float(np.median(np.abs(signal)))


def find_pulses(filtered: Filtered, noise: float, interval_ns: float, recipe: Recipe) -> tuple[list[Pulse], bool]:
    """Return the pulses of a chunk in time order, and whether there were more than are kept.

    Parameters
    ----------
    filtered : Filtered
        The chunk, float64 (n,).
    noise : float
        Its noise level.
    interval_ns : float
        Sampling interval.
    recipe : Recipe
        Threshold, separation and number of pulses.
    """
    envelope = filtered.envelope
    inner = envelope[1:-1]
    candidates = 1 + np.flatnonzero(
        (inner >= recipe.threshold * noise) & (inner >= envelope[:-2]) & (inner > envelope[2:])
    )
    ranked = candidates[np.argsort(-envelope[candidates], kind="stable")]
    peaks: list[int] = []
    for peak in ranked.tolist():
        if all(_is_apart(peak, other, envelope, recipe) for other in peaks):
            peaks.append(peak)
    kept = sorted(peaks[: recipe.most_pulses])
    bounds = _valleys(envelope, kept)
    found = [
        _describe(filtered, noise, interval_ns, peak, *bounds[index : index + 2]) for index, peak in enumerate(kept)
    ]
    return found, len(peaks) > len(kept)


def _is_apart(peak: int, stronger: int, envelope: Floats, recipe: Recipe) -> bool:
    """Tell whether a peak is another pulse than a stronger one, and not its echo in the filter."""
    distance = abs(peak - stronger)
    if distance < recipe.separation:
        return False
    return bool(distance > recipe.guard or envelope[peak] >= recipe.ringing * envelope[stronger])


def loudest(filtered: Filtered, noise: float, interval_ns: float) -> Pulse:
    """Return the loudest stretch of a chunk in which nothing stands out, described as if it were a pulse."""
    peak = int(np.argmax(filtered.envelope[1:-1])) + 1
    return _describe(filtered, noise, interval_ns, peak, 0, len(filtered.envelope) - 1)


def _valleys(envelope: Floats, peaks: list[int]) -> list[int]:
    """Return the lowest sample between each two neighbours, and both ends of the chunk."""
    return [0, *(a + int(np.argmin(envelope[a:b])) for a, b in pairwise(peaks)), len(envelope) - 1]


def _describe(filtered: Filtered, noise: float, interval_ns: float, peak: int, low: int, high: int) -> Pulse:
    envelope, signal = filtered.envelope, filtered.signal
    top = float(envelope[peak])
    foot = min(max(_FOOT * top, _FOOT_NOISES * noise), 0.9 * top)
    before = np.flatnonzero(envelope[low:peak] < foot)
    after = np.flatnonzero(envelope[peak + 1 : high + 1] < foot)
    reach = max(1, round(0.5e9 / _HALF_PERIOD_HZ / interval_ns))
    first = max(0, peak - reach)
    nearby = signal[first : peak + reach + 1]
    extremum = float(nearby[np.argmax(np.abs(nearby))])
    return Pulse(
        start=low + int(before[-1]) + 1 if len(before) else low,
        peak=peak,
        end=peak + int(after[0]) if len(after) else high,
        peak_at=peak + _parabola(*envelope[peak - 1 : peak + 2].tolist()),
        polarity=1 if extremum >= 0 else -1,
        amplitude=abs(extremum),
        snr=top / noise,
        rise=_rise(filtered.causal, low, peak, noise),
    )


def _parabola(before: float, top: float, after: float) -> float:
    """Return the place of a maximum between samples, from -0.5 to 0.5."""
    curvature = before - 2 * top + after
    return 0.0 if curvature >= 0 else min(max(0.5 * (before - after) / curvature, -0.5), 0.5)


def _rise(causal: Floats, low: int, peak: int, noise: float) -> float:
    """Return the samples that the causal envelope takes from 10 % of its peak (or out of the noise) to 90 %."""
    stretch = causal[low : peak + _CAUSAL_LAG]
    # Low to the sample at which the zero-phase envelope peaks: the causal one peaks no earlier.
    top = peak - low + int(np.argmax(stretch[peak - low :]))
    rising = stretch[: top + 1]
    top_level = float(rising[-1])
    # Below the noise a crossing would be an accident far ahead of the pulse.
    foot = min(max(_RISE_FROM * top_level, _FOOT_NOISES * noise), 0.5 * top_level)
    return max(_crossing(rising, _RISE_TO * top_level) - _crossing(rising, foot), 0.0)


def _crossing(rising: Floats, level: float) -> float:
    """Return where the last stretch above a level begins, between samples."""
    below = np.flatnonzero(rising < level)
    if not len(below):
        return 0.0
    last = int(below[-1])
    step = rising[last + 1] - rising[last]
    return last + float((level - rising[last]) / step)
