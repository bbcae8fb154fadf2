"""What is odd about chunks before they are filtered: flags, and reasons why nothing can be scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fulgor.preprocessing.leela.chunk import LeelaChunk
from fulgor.preprocessing.leela.filters import is_too_slow
from fulgor.preprocessing.leela.flags import LeelaFlag
from fulgor.preprocessing.leela.recipe import Recipe
from fulgor.preprocessing.leela.windows import is_usual

__all__ = ["oddities", "unusable"]

Floats = NDArray[np.float64]

# A clock is called off if it differs so much from the time of reception; real chunks arrive within 7 s.
_CLOCK_NS = 60_000_000_000
# The stated end of real chunks is short by 0.01 %; this catches another length or interval.
_DURATION_TOLERANCE = 0.05
_LARGEST = float(np.finfo(np.float32).max)


def oddities(chunks: Sequence[LeelaChunk], samples: Floats) -> list[LeelaFlag]:
    """Return what is odd about chunks as they were sent.

    Parameters
    ----------
    chunks : sequence of LeelaChunk
        Of one length.
    samples : ndarray
        float64 (chunks, n): theirs.
    """
    clipped = _stuck(samples, samples.max(axis=1)) | _stuck(samples, samples.min(axis=1))
    whole = (np.rint(samples) == samples).all(axis=1)  # not where there are NaN, which equal nothing
    sent = zip(chunks, clipped.tolist(), whole.tolist(), strict=True)
    return [_oddity(chunk, clipped=is_clipped, whole=is_whole) for chunk, is_clipped, is_whole in sent]


def _oddity(chunk: LeelaChunk, *, clipped: bool, whole: bool) -> LeelaFlag:
    flags = 0 if whole else int(LeelaFlag.FLOAT_SAMPLES)
    duration = (len(chunk.samples) - 1) * chunk.interval_ns
    if chunk.end_ns is not None and abs(chunk.end_ns - chunk.start_ns - duration) > _DURATION_TOLERANCE * duration:
        flags |= LeelaFlag.TIMES_DISAGREE
    if chunk.rx_ns is not None and abs(chunk.rx_ns - chunk.start_ns) > _CLOCK_NS:
        flags |= LeelaFlag.CLOCK
    if not is_usual(chunk.interval_ns):
        flags |= LeelaFlag.SAMPLING
    if chunk.clipped or clipped:
        flags |= LeelaFlag.CLIPPED
    return LeelaFlag(flags)


def _stuck(samples: Floats, extreme: Floats) -> NDArray[np.bool_]:
    """Tell which chunks stand at their extreme three times in a row: a converter at its limit."""
    there = samples == extreme[:, None]
    thrice: NDArray[np.bool_] = (there[:, :-2] & there[:, 1:-1] & there[:, 2:]).any(axis=1)
    return thrice


def unusable(
    chunks: Sequence[LeelaChunk], samples: Floats, recipe: Recipe
) -> list[tuple[LeelaFlag, str] | tuple[None, None]]:
    """Return why chunks cannot be scored, flag and reason; nothing of either where they can.

    Parameters
    ----------
    chunks : sequence of LeelaChunk
        Of one length and interval.
    samples : ndarray
        float64 (chunks, n): theirs.
    recipe : Recipe
        Guard and pass band.
    """
    low, high = samples.min(axis=1), samples.max(axis=1)
    fine = (low < high) & (np.maximum(-low, high) <= _LARGEST / samples.shape[1])  # not where there are NaN
    if samples.shape[1] <= 2 * recipe.guard or is_too_slow(chunks[0].interval_ns, recipe):
        fine[:] = False
    return [(None, None) if ok else _reason(chunk, recipe) for chunk, ok in zip(chunks, fine.tolist(), strict=True)]


def _reason(chunk: LeelaChunk, recipe: Recipe) -> tuple[LeelaFlag, str]:
    samples = chunk.samples
    finite = int(np.isfinite(samples).sum())
    if finite < len(samples):
        return LeelaFlag.NOT_FINITE, f"{len(samples) - finite} of {len(samples)} samples are not finite"
    if samples.max() == samples.min():
        return LeelaFlag.CONSTANT, f"all {len(samples)} samples are {samples[0]:g}"
    if len(samples) <= 2 * recipe.guard:
        return LeelaFlag.TOO_SHORT, f"{len(samples)} samples: the filter needs more than {2 * recipe.guard}"
    if is_too_slow(chunk.interval_ns, recipe):
        return LeelaFlag.TOO_SLOW, f"an interval of {chunk.interval_ns:.0f} ns does not hold {recipe.high_hz:g} Hz"
    return LeelaFlag.NOT_FINITE, "samples are larger than any converter's"
