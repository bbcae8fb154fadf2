"""The band-pass of a chunk: one transform gives the filtered signal, its envelope and the causal path.

Zero phase is what a Butterworth filter does forwards and backwards (its response squared), so a peak
stays where it is; the causal path is the same filter forwards only, in which nothing happens before
its cause. Both are products in the frequency domain: 4 times faster than recursive filtering of so
short a signal. At the edges the signal is continued by its odd reflection.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import ifft, next_fast_len, rfft

from fulgor.preprocessing.leela.recipe import Recipe

__all__ = ["Filtered", "band_pass", "is_too_slow", "with_edges"]

Floats = NDArray[np.float64]

#: The pass band has to end below this part of the Nyquist frequency.
_HIGHEST = 0.95


@dataclass(frozen=True, slots=True)
class Filtered:
    """A band-passed stretch.

    Parameters
    ----------
    signal : ndarray
        float64 (..., n): zero-phase band-pass, in the input's unit.
    envelope : ndarray
        float64 (..., n): modulus of the analytic signal.
    causal : ndarray
        float64 (..., n): envelope of the causal path, which lags behind.
    """

    signal: Floats
    envelope: Floats
    causal: Floats


def is_too_slow(interval_ns: float, recipe: Recipe) -> bool:
    """Tell whether the pass band does not fit below the Nyquist frequency."""
    return recipe.high_hz * 2e-9 * interval_ns > _HIGHEST


def with_edges(samples: Floats, guard: int) -> Floats:
    """Return samples (..., n) with `guard` more of their odd reflection on each side, without their mean.

    Parameters
    ----------
    samples : ndarray
        At least ``guard + 1`` long.
    guard : int
        Samples to add on each side.
    """
    left = 2 * samples[..., :1] - samples[..., guard:0:-1]
    right = 2 * samples[..., -1:] - samples[..., -2 : -guard - 2 : -1]
    centred: Floats = np.concatenate([left, samples, right], axis=-1)
    centred -= samples.mean(axis=-1, keepdims=True)
    return centred


@lru_cache(maxsize=64)
def _responses(size: int, interval_ns: float, recipe: Recipe) -> NDArray[np.complex128]:
    """Return |H|^2 and H, complex128 (2, F), at a transform's frequencies from 0, doubled to give analytic signals."""
    from scipy.signal import butter, sosfreqz  # slow to import: only where a chunk is filtered

    rate = 1e9 / interval_ns
    sos = butter(recipe.order, [recipe.low_hz, recipe.high_hz], "bandpass", fs=rate, output="sos")
    frequencies = np.arange(size // 2 + 1) * (rate / size)
    response = sosfreqz(sos, frequencies, fs=rate)[1]
    response[0] = 0.0
    return np.stack([2 * np.abs(response) ** 2 + 0j, 2 * response])


def band_pass(extended: Floats, interval_ns: float, recipe: Recipe) -> Filtered:
    """Filter samples that carry `recipe.guard` samples of surroundings on each side.

    Parameters
    ----------
    extended : ndarray
        float64 (..., n + 2 guard), from :func:`with_edges`.
    interval_ns : float
        Sampling interval.
    recipe : Recipe
        Pass band, order and guard.

    Returns
    -------
    Filtered
        Of the n samples in the middle.
    """
    size = next_fast_len(extended.shape[-1])
    responses = _responses(size, interval_ns, recipe)
    half = rfft(extended, size)
    paths = np.zeros((2, *half.shape[:-1], size), np.complex128)
    paths[..., : half.shape[-1]] = half * responses.reshape(2, *(1,) * (half.ndim - 1), -1)
    middle = slice(recipe.guard, extended.shape[-1] - recipe.guard)
    analytic, causal = ifft(paths, overwrite_x=True)[..., middle]
    return Filtered(np.ascontiguousarray(analytic.real), np.abs(analytic), np.abs(causal))
