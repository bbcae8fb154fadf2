"""Chunks to their pulses and to the arrays that a model takes: the same function live, in jobs and in training.

Chunks that are sampled alike are worked on at once, in a few array calls; what comes out of one of
them does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, pairwise
from operator import or_

import numpy as np
from numpy.typing import NDArray

from fulgor.preprocessing.leela.checks import oddities, unusable
from fulgor.preprocessing.leela.chunk import LeelaChunk
from fulgor.preprocessing.leela.filters import band_pass, with_edges
from fulgor.preprocessing.leela.flags import LeelaFlag
from fulgor.preprocessing.leela.pulses import Pulse, describe, find_peaks, loudest, noise_level
from fulgor.preprocessing.leela.recipe import DEFAULT, Recipe
from fulgor.preprocessing.leela.windows import take_windows

__all__ = ["SCALARS", "PreparedChunk", "prepare", "prepare_together"]

Floats = NDArray[np.float32]
Places = NDArray[np.intp]

#: Columns of the array ``scalars``, one row a pulse.
SCALARS = ("log_snr", "polarity", "log_rise", "log_width", "log_since_previous", "log_amplitude", "detected", "cut")

_LEAST_NOISE = float(np.finfo(np.float32).tiny)
# Worked on at once: their transforms stay in the processor's cache, and one long chunk takes no more.
_SAMPLES_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class PreparedChunk:
    """A chunk, filtered and searched.

    Parameters
    ----------
    flags : LeelaFlag
        What is odd about the chunk.
    unscorable : str or None
        Why nothing can be scored; None when it can.
    mean, noise : float
        Mean of the samples (DC offset) and robust noise of the band-passed signal, counts.
    signal : ndarray
        float64 (n,): the band-passed chunk; empty where it cannot be had.
    pulses : tuple of Pulse
        In time order; empty where none stands out.
    pulse_flags : tuple of LeelaFlag
        What is odd about each.
    windows : ndarray
        float32 (pulses, window): band-passed counts around each peak.
    arrays : dict of str to ndarray
        Model input: ``windows`` (P, 2, window), the window in units of its pulse's envelope and its mask,
        and ``scalars`` (P, 8), see `SCALARS`. P is the number of pulses, or 1 for the loudest stretch of a
        chunk that has none. Empty where the chunk cannot be scored.
    """

    flags: LeelaFlag
    unscorable: str | None
    mean: float
    noise: float
    signal: NDArray[np.float64]
    pulses: tuple[Pulse, ...]
    pulse_flags: tuple[LeelaFlag, ...]
    windows: Floats
    arrays: dict[str, Floats]


def prepare(chunk: LeelaChunk, recipe: Recipe = DEFAULT) -> PreparedChunk:
    """Filter a chunk, find its pulses and make the model input; see :func:`prepare_together`."""
    return prepare_together([chunk], recipe)[0]


def prepare_together(chunks: Sequence[LeelaChunk], recipe: Recipe = DEFAULT) -> list[PreparedChunk]:
    """Filter chunks, find their pulses and make the model input.

    Parameters
    ----------
    chunks : sequence of LeelaChunk
        The decoded chunks, of any lengths and intervals.
    recipe : Recipe
        The parameters; `Recipe.content_hash` names them on every model and result.

    Returns
    -------
    list of PreparedChunk
        In the order of the chunks.
    """
    alike: dict[tuple[int, float], list[int]] = {}
    for number, chunk in enumerate(chunks):
        alike.setdefault((len(chunk.samples), chunk.interval_ns), []).append(number)
    prepared: dict[int, PreparedChunk] = {}
    for (size, _), numbers in alike.items():
        step = max(1, _SAMPLES_AT_ONCE // size)
        for some in (numbers[at : at + step] for at in range(0, len(numbers), step)):
            prepared |= zip(some, _prepared([chunks[number] for number in some], recipe), strict=True)
    return [prepared[number] for number in range(len(chunks))]


def _prepared(chunks: Sequence[LeelaChunk], recipe: Recipe) -> list[PreparedChunk]:
    """Return what chunks of one length and interval become."""
    samples = np.stack([chunk.samples for chunk in chunks])
    flags, reasons = oddities(chunks, samples), unusable(chunks, samples, recipe)
    usable = [number for number, (_, reason) in enumerate(reasons) if reason is None]
    searched = iter(
        _searched(samples[usable], chunks[0].interval_ns, [flags[number] for number in usable], recipe)
        if usable else []
    )  # fmt: skip
    return [
        next(searched) if reason is None or flag is None else _unscorable(chunk, own | flag, reason, recipe)
        for chunk, own, (flag, reason) in zip(chunks, flags, reasons, strict=True)
    ]


def _unscorable(chunk: LeelaChunk, flags: LeelaFlag, reason: str, recipe: Recipe) -> PreparedChunk:
    mean = 0.0 if LeelaFlag.NOT_FINITE in flags else float(chunk.samples.mean())
    return PreparedChunk(flags, reason, mean, 0.0, np.empty(0), (), (), np.empty((0, recipe.window), np.float32), {})


def _searched(
    samples: NDArray[np.float64], interval_ns: float, flags: Sequence[LeelaFlag], recipe: Recipe
) -> list[PreparedChunk]:
    filtered = band_pass(with_edges(samples, recipe.guard), interval_ns, recipe)
    noise = np.maximum(noise_level(filtered.signal), _LEAST_NOISE)
    peaks, more = find_peaks(filtered.envelope, noise, recipe)
    shown = [each or [loud] for each, loud in zip(peaks, loudest(filtered.envelope), strict=True)]
    pulses = describe(filtered, noise, interval_ns, shown)
    of = np.repeat(np.arange(len(shown)), [len(each) for each in shown])
    peak = np.array([pulse.peak for pulse in pulses], np.intp)
    windows, inside = take_windows(filtered.signal, of, peak, interval_ns, recipe.window)
    odd = _pulse_flags(peak, inside, samples.shape[1], recipe)
    scaled = _scaled(windows, inside, pulses, noise[of])
    scalars = _scalars(pulses, inside, interval_ns, of, np.array([len(each) > 0 for each in peaks])[of])
    means = samples.mean(axis=1).tolist()
    prepared = []
    for number, (first, end) in enumerate(pairwise(accumulate(map(len, shown), initial=0))):
        found = slice(first, end if peaks[number] else first)
        own = flags[number] | (LeelaFlag(0) if peaks[number] else LeelaFlag.NO_PULSE)
        own |= LeelaFlag.MANY_PULSES if more[number] else LeelaFlag(0)
        prepared.append(PreparedChunk(
            reduce(or_, odd[found], own), None, means[number], float(noise[number]), filtered.signal[number],
            tuple(pulses[found]), tuple(odd[found]), windows[found],
            {"windows": scaled[first:end], "scalars": scalars[first:end]},
        ))  # fmt: skip
    return prepared


def _pulse_flags(peak: Places, inside: NDArray[np.bool_], size: int, recipe: Recipe) -> list[LeelaFlag]:
    cut = np.where(inside.all(axis=1), 0, int(LeelaFlag.WINDOW_CUT))
    near = np.where((peak < recipe.guard) | (peak >= size - recipe.guard), int(LeelaFlag.NEAR_EDGE), 0)
    return [LeelaFlag(flags) for flags in (cut | near).tolist()]


def _scaled(windows: Floats, inside: NDArray[np.bool_], pulses: Sequence[Pulse], noise: NDArray[np.float64]) -> Floats:
    """Return windows in units of their pulse's envelope, beside their masks: (m, 2, window)."""
    tops = (np.array([pulse.snr for pulse in pulses]) * noise).astype(np.float32)
    return np.stack([windows / tops[:, None], inside.astype(np.float32)], axis=1)


def _scalars(
    pulses: Sequence[Pulse], inside: NDArray[np.bool_], interval_ns: float, of: Places, detected: NDArray[np.bool_]
) -> Floats:
    """Return the columns of `SCALARS`: logarithms, so that a thousandfold pulse is no thousandfold input."""
    table = np.array([(p.snr, p.polarity, p.rise, p.end - p.start, p.peak_at, p.amplitude) for p in pulses])
    snr, polarity, rise, width, peak, amplitude = table.T
    microseconds = interval_ns / 1000
    # The first of a chunk has no predecessor: far away.
    before = np.where(np.diff(of, prepend=-1) > 0, peak - 1e6, np.roll(peak, 1))
    columns = (
        np.log(snr), polarity, np.log1p(rise * microseconds), np.log1p(width * microseconds),
        np.minimum(np.log1p((peak - before) * microseconds), 10.0), np.log1p(amplitude), detected.astype(np.float64),
        1.0 - inside.mean(axis=1),
    )  # fmt: skip
    return np.stack(columns, axis=1).astype(np.float32)
