"""One chunk to its pulses and to the arrays that a model takes: the same function live, in jobs and in training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fulgor.preprocessing.leela.chunk import LeelaChunk
from fulgor.preprocessing.leela.filters import band_pass, is_too_slow, with_edges
from fulgor.preprocessing.leela.flags import LeelaFlag
from fulgor.preprocessing.leela.pulses import Pulse, find_pulses, loudest, noise_level
from fulgor.preprocessing.leela.recipe import DEFAULT, Recipe
from fulgor.preprocessing.leela.windows import is_usual, take_windows

__all__ = ["SCALARS", "Neighbours", "PreparedChunk", "prepare"]

Floats = NDArray[np.float32]

#: Columns of the array ``scalars``, one row a pulse.
SCALARS = ("log_snr", "polarity", "log_rise", "log_width", "log_since_previous", "log_amplitude", "detected", "cut")

# A clock is called off if it differs so much from the time of reception; real chunks arrive within 7 s.
_CLOCK_NS = 60_000_000_000
# The stated end of real chunks is short by 0.01 %; this catches another length or interval.
_DURATION_TOLERANCE = 0.05
# So many equal samples in a row at the largest or smallest value: a converter at its limit.
_STUCK = 3
_LEAST_NOISE = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Raw samples next to a chunk, at least the recipe's guard long; None where the neighbour is not known."""

    before: NDArray[np.float64] | None = None
    after: NDArray[np.float64] | None = None


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


def prepare(chunk: LeelaChunk, recipe: Recipe = DEFAULT, neighbours: Neighbours | None = None) -> PreparedChunk:
    """Filter a chunk, find its pulses and make the model input.

    Parameters
    ----------
    chunk : LeelaChunk
        The decoded chunk.
    recipe : Recipe
        The parameters; `Recipe.content_hash` names them on every model and result.
    neighbours : Neighbours, optional
        Raw samples of contiguous neighbours; without them the edges are reflections, and flagged.
    """
    flags = _metadata_flags(chunk)
    unusable, reason = _usability(chunk, recipe)
    if reason is not None:
        mean = 0.0 if LeelaFlag.NOT_FINITE in unusable else float(chunk.samples.mean())
        empty = np.empty(0)
        return PreparedChunk(
            flags | unusable, reason, mean, 0.0, empty, (), (), np.empty((0, recipe.window), np.float32), {}
        )
    return _searched(chunk, recipe, neighbours or Neighbours(), flags)


def _searched(chunk: LeelaChunk, recipe: Recipe, neighbours: Neighbours, flags: LeelaFlag) -> PreparedChunk:
    extended = with_edges(chunk.samples, recipe.guard, neighbours.before, neighbours.after)
    filtered = band_pass(extended, chunk.interval_ns, recipe)
    noise = max(noise_level(filtered.signal), _LEAST_NOISE)
    pulses, more = find_pulses(filtered, noise, chunk.interval_ns, recipe)
    flags |= LeelaFlag(0) if pulses else LeelaFlag.NO_PULSE
    flags |= LeelaFlag.MANY_PULSES if more else LeelaFlag(0)
    shown = pulses or [loudest(filtered, noise, chunk.interval_ns)]
    windows, inside = take_windows(filtered.signal, shown, chunk.interval_ns, recipe.window)
    odd = [
        _pulse_flags(pulse, mask, len(chunk.samples), recipe, neighbours)
        for pulse, mask in zip(shown, inside, strict=True)
    ]
    for found in odd if pulses else ():
        flags |= found
    arrays = {
        "windows": _scaled(windows, inside, shown, noise),
        "scalars": _scalars(shown, inside, chunk.interval_ns, detected=bool(pulses)),
    }
    return PreparedChunk(
        flags, None, float(chunk.samples.mean()), noise, filtered.signal,
        tuple(pulses), tuple(odd[: len(pulses)]), windows[: len(pulses)], arrays,
    )  # fmt: skip


def _metadata_flags(chunk: LeelaChunk) -> LeelaFlag:
    flags = LeelaFlag(0)
    duration = (len(chunk.samples) - 1) * chunk.interval_ns
    if chunk.end_ns is not None and abs(chunk.end_ns - chunk.start_ns - duration) > _DURATION_TOLERANCE * duration:
        flags |= LeelaFlag.TIMES_DISAGREE
    if chunk.rx_ns is not None and abs(chunk.rx_ns - chunk.start_ns) > _CLOCK_NS:
        flags |= LeelaFlag.CLOCK
    if not is_usual(chunk.interval_ns):
        flags |= LeelaFlag.SAMPLING
    if chunk.clipped or _stuck(chunk.samples):
        flags |= LeelaFlag.CLIPPED
    if not np.array_equal(np.rint(chunk.samples), chunk.samples):  # also for NaN, which equals nothing
        flags |= LeelaFlag.FLOAT_SAMPLES
    return flags


def _stuck(samples: NDArray[np.float64]) -> bool:
    """Tell whether samples stand at the largest or smallest value several times in a row."""
    for extreme in (samples.max(), samples.min()):
        at = np.flatnonzero(samples == extreme)
        if len(at) >= _STUCK and bool((at[_STUCK - 1 :] - at[: 1 - _STUCK] == _STUCK - 1).any()):
            return True
    return False


def _usability(chunk: LeelaChunk, recipe: Recipe) -> tuple[LeelaFlag, str | None]:
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
    if np.abs(samples).max() > np.finfo(np.float32).max / len(samples):
        return LeelaFlag.NOT_FINITE, "samples are larger than any converter's"
    return LeelaFlag(0), None


def _pulse_flags(
    pulse: Pulse, inside: NDArray[np.bool_], size: int, recipe: Recipe, neighbours: Neighbours
) -> LeelaFlag:
    flags = LeelaFlag(0) if inside.all() else LeelaFlag.WINDOW_CUT
    unknown_before = neighbours.before is None and pulse.peak < recipe.guard
    unknown_after = neighbours.after is None and pulse.peak >= size - recipe.guard
    return flags | (LeelaFlag.NEAR_EDGE if unknown_before or unknown_after else LeelaFlag(0))


def _scaled(windows: Floats, inside: NDArray[np.bool_], pulses: list[Pulse], noise: float) -> Floats:
    """Return windows in units of their pulse's envelope, beside their masks: (P, 2, window)."""
    tops = np.array([pulse.snr * noise for pulse in pulses], np.float32)
    return np.stack([windows / tops[:, None], inside.astype(np.float32)], axis=1)


def _scalars(pulses: list[Pulse], inside: NDArray[np.bool_], interval_ns: float, *, detected: bool) -> Floats:
    """Return the columns of `SCALARS`: logarithms, so that a thousandfold pulse is no thousandfold input."""
    table = np.array([(p.snr, p.polarity, p.rise, p.end - p.start, p.peak_at, p.amplitude) for p in pulses])
    snr, polarity, rise, width, peak, amplitude = table.T
    microseconds = interval_ns / 1000
    since = np.diff(peak, prepend=peak[:1] - 1e6) * microseconds  # the first has no predecessor: far away
    columns = (
        np.log(snr), polarity, np.log1p(rise * microseconds), np.log1p(width * microseconds),
        np.minimum(np.log1p(since), 10.0), np.log1p(amplitude), np.full(len(pulses), float(detected)),
        1.0 - inside.mean(axis=1),
    )  # fmt: skip
    return np.stack(columns, axis=1).astype(np.float32)
