"""Pulse description words: where each pulse starts, peaks and ends, its sign, rise and strength.

All chunks of a batch are described by the same few array calls; no number of one depends on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise

import numpy as np
from numpy.typing import NDArray

from fulgor.preprocessing.leela.filters import Filtered
from fulgor.preprocessing.leela.recipe import Recipe

__all__ = ["Pulse", "describe", "find_peaks", "loudest", "noise_level"]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

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


def noise_level(signals: Floats) -> Floats:
    """Return the robust standard deviations (chunks,) of band-passed chunks (chunks, n): pulses hardly move them."""
    level: Floats = _MAD * np.median(np.abs(signals), axis=-1)
    return level


def find_peaks(envelopes: Floats, noise: Floats, recipe: Recipe) -> tuple[list[list[int]], list[bool]]:
    """Return where the pulses of each chunk peak, in time order, and whether there were more than are kept.

    Parameters
    ----------
    envelopes : ndarray
        float64 (chunks, n).
    noise : ndarray
        float64 (chunks,): their noise levels.
    recipe : Recipe
        Threshold, separation and number of pulses.
    """
    inner = envelopes[:, 1:-1]
    risen = inner >= (recipe.threshold * noise)[:, None]
    risen &= inner >= envelopes[:, :-2]
    risen &= inner > envelopes[:, 2:]
    chunk, at = np.nonzero(risen)
    at += 1
    heights = envelopes[chunk, at]
    ranked = np.lexsort((at, -heights, chunk))
    each = zip(at[ranked].tolist(), heights[ranked].tolist(), strict=True)
    counts = np.bincount(chunk, minlength=len(envelopes)).tolist()
    found = [_parted(list(islice(each, count)), recipe) for count in counts]
    kept = [sorted(peaks[: recipe.most_pulses]) for peaks in found]
    return kept, [len(peaks) > recipe.most_pulses for peaks in found]


def _parted(ranked: Sequence[tuple[int, float]], recipe: Recipe) -> list[int]:
    """Return the peaks, strongest first, that are pulses of their own; one more than are kept tells that there are."""
    found: list[tuple[int, float]] = []
    for candidate in ranked:
        if all(_is_apart(*candidate, *stronger, recipe) for stronger in found):
            found.append(candidate)
            if len(found) > recipe.most_pulses:
                break
    return [peak for peak, _ in found]


def _is_apart(peak: int, height: float, stronger: int, its_height: float, recipe: Recipe) -> bool:
    """Tell whether a peak is another pulse than a stronger one, and not its echo in the filter."""
    distance = abs(peak - stronger)
    return distance >= recipe.separation and (distance > recipe.guard or height >= recipe.ringing * its_height)


def loudest(envelopes: Floats) -> list[int]:
    """Return where each chunk is loudest: what is described of a chunk in which nothing stands out."""
    peaks: list[int] = (1 + np.argmax(envelopes[:, 1:-1], axis=1)).tolist()
    return peaks


def describe(filtered: Filtered, noise: Floats, interval_ns: float, peaks: Sequence[Sequence[int]]) -> list[Pulse]:
    """Return the pulses of a batch, chunk after chunk.

    Parameters
    ----------
    filtered : Filtered
        The chunks, float64 (chunks, n).
    noise : ndarray
        float64 (chunks,): their noise levels.
    interval_ns : float
        Sampling interval.
    peaks : sequence of sequence of int
        Of each chunk, in time order.
    """
    count = [len(each) for each in peaks]
    of = np.repeat(np.arange(len(peaks)), count)
    peak = np.fromiter(chain.from_iterable(peaks), np.intp, len(of))
    bounds = [pair for chunk, each in enumerate(peaks) for pair in pairwise(_valleys(filtered.envelope[chunk], each))]
    low, high = np.array(bounds, np.intp).reshape(-1, 2).T
    envelope = filtered.envelope[of]
    top = envelope[np.arange(len(of)), peak]
    start, end = _extent(envelope, top, noise[of], peak, low, high)
    extremum = _extremum(filtered.signal, of, peak, max(1, round(0.5e9 / _HALF_PERIOD_HZ / interval_ns)))
    columns = (
        start, peak, end, peak + _parabola(*(envelope[np.arange(len(of)), peak + step] for step in (-1, 0, 1))),
        np.where(extremum >= 0, 1, -1), np.abs(extremum), top / noise[of],
        _rise(filtered.causal[of], low, peak, noise[of]),
    )  # fmt: skip
    return [Pulse(*fields) for fields in zip(*(column.tolist() for column in columns), strict=True)]


def _valleys(envelope: Floats, peaks: Sequence[int]) -> list[int]:
    """Return the lowest sample between each two neighbours, and both ends of the chunk; nothing without a peak."""
    if not peaks:
        return []
    return [0, *(a + int(np.argmin(envelope[a:b])) for a, b in pairwise(peaks)), len(envelope) - 1]


def _extent(
    envelope: Floats, top: Floats, noise: Floats, peak: Places, low: Places, high: Places
) -> tuple[Places, Places]:
    """Return the first and last samples of pulses: (m,) each, of envelopes (m, n)."""
    size = envelope.shape[1]
    steps = np.arange(size)
    foot = np.minimum(np.maximum(_FOOT * top, _FOOT_NOISES * noise), 0.9 * top)
    quiet = envelope < foot[:, None]
    before = _last(quiet & (steps >= low[:, None]) & (steps < peak[:, None]))
    after = quiet & (steps > peak[:, None]) & (steps <= high[:, None])
    end = np.where(after.any(axis=1), after.argmax(axis=1) - 1, high)
    return np.where(before < 0, low, before + 1), end


def _last(chosen: NDArray[np.bool_]) -> Places:
    """Return the last chosen place of each row, -1 where there is none."""
    place: Places = chosen.shape[1] - 1 - chosen[:, ::-1].argmax(axis=1)
    return np.where(chosen.any(axis=1), place, -1)


def _extremum(signals: Floats, of: Places, peak: Places, reach: int) -> Floats:
    """Return the largest excursions (m,), with their signs, within a reach of each peak."""
    size = signals.shape[1]
    places = peak[:, None] + np.arange(-min(reach, size), min(reach, size) + 1)
    nearby = signals[of[:, None], np.clip(places, 0, size - 1)]
    nearby[(places < 0) | (places >= size)] = 0.0
    extremum: Floats = nearby[np.arange(len(of)), np.abs(nearby).argmax(axis=1)]
    return extremum


def _parabola(before: Floats, top: Floats, after: Floats) -> Floats:
    """Return the places of maxima between samples, from -0.5 to 0.5."""
    curvature = before - 2 * top + after
    shift = np.divide(0.5 * (before - after), curvature, out=np.zeros(len(top)), where=curvature < 0)
    return np.clip(shift, -0.5, 0.5)


def _rise(causal: Floats, low: Places, peak: Places, noise: Floats) -> Floats:
    """Return the samples that causal envelopes (m, n) take from 10 % of their peak (or out of the noise) to 90 %."""
    rows, size = np.arange(len(peak)), causal.shape[1]
    # From the sample at which the zero-phase envelope peaks: the causal one peaks no earlier.
    places = peak[:, None] + np.arange(_CAUSAL_LAG)
    behind = causal[rows[:, None], np.minimum(places, size - 1)]
    behind[places >= size] = -1.0
    top = peak + behind.argmax(axis=1)
    top_level = causal[rows, top]
    # Below the noise a crossing would be an accident far ahead of the pulse.
    foot = np.minimum(np.maximum(_RISE_FROM * top_level, _FOOT_NOISES * noise), 0.5 * top_level)
    steps = np.arange(size)
    rising = (steps >= low[:, None]) & (steps <= top[:, None])
    passed = _crossing(causal, rising, low, _RISE_TO * top_level) - _crossing(causal, rising, low, foot)
    return np.maximum(passed, 0.0)


def _crossing(causal: Floats, rising: NDArray[np.bool_], low: Places, level: Floats) -> Floats:
    """Return how many samples behind `low`, between samples, the last stretch above a level begins."""
    last = _last(rising & (causal < level[:, None]))
    rows, here = np.arange(len(last)), np.maximum(last, 0)
    below = causal[rows, here]
    # Of a level that is never gone below, any step will do.
    step = np.where(last < 0, 1.0, causal[rows, np.minimum(here + 1, causal.shape[1] - 1)] - below)
    return np.where(last < 0, 0.0, last - low + (level - below) / step)
