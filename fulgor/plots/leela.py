"""A LEELA chunk with its pulses marked: as received, and in the pass band."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fulgor.plots.style import FAINT, INK, PAPER, Look, tidy, title
from fulgor.preprocessing.leela import DEFAULT, LeelaChunk, LeelaFlag, PreparedChunk, Pulse, Recipe

__all__ = ["NEGATIVE", "POSITIVE", "chunk_picture", "flag_words"]

POSITIVE, NEGATIVE = Look("#D55E00", "^"), Look("#0072B2", "v")
"""Pulses of either polarity."""

_GUARD = "#e3e7ec"
_HEADROOM = 0.3  # of the range, above the largest excursion: there the pulses' markers stand
_LINE = 0.24  # inches, for what is known of a pulse


def chunk_picture(chunk: LeelaChunk, prepared: PreparedChunk, recipe: Recipe = DEFAULT, *, line: str = "") -> Figure:
    """Return a chunk's samples above its band-passed signal, in which start, peak and end of each pulse are marked.

    Parameters
    ----------
    chunk : LeelaChunk
        As decoded; samples that are not finite are left out.
    prepared : PreparedChunk
        What the preparation made of it.
    recipe : Recipe
        That of the preparation: its guard at the edges is shaded.
    line : str
        What a model made of it; by default the chunk's id and flags.
    """
    below = 0.2 + _LINE * len(prepared.pulses)
    figure = Figure(figsize=(10, 5.8 + below), layout="constrained", facecolor=PAPER)
    grid = figure.add_gridspec(3, 1, height_ratios=(2.2, 3.3, below))
    raw = figure.add_subplot(grid[0])
    passed = figure.add_subplot(grid[1], sharex=raw)
    time = np.arange(len(chunk.samples), dtype=np.float64) * (chunk.interval_ns / 1e6)
    raw.plot(time, np.where(np.isfinite(chunk.samples), chunk.samples, np.nan), color=INK, linewidth=0.8)
    raw.set_ylabel("as received (counts)")
    title(raw, f"{chunk.name}, {_time(chunk.start_ns)}", line or f"{chunk.id}: {flag_words(prepared.flags)}")
    _draw_passed(passed, time, prepared, recipe)
    passed.set_xlabel("time since the chunk's first sample (ms)")
    passed.set_ylabel(f"{recipe.low_hz / 1000:g} to {recipe.high_hz / 1000:g} kHz (counts)")
    for axes in (raw, passed):
        tidy(axes)
    _list(figure.add_subplot(grid[2]), prepared, chunk.interval_ns / 1000)
    raw.set_xlim(time[0], time[-1])
    return figure


def flag_words(flags: LeelaFlag) -> str:
    """Return the names of flags in plain words."""
    return ", ".join(str(flag.name).lower().replace("_", " ") for flag in flags) or "no flag"


def _time(start_ns: int) -> str:
    try:
        return str(np.datetime64(start_ns, "ns")).replace("T", " ") + " UTC"
    except (OverflowError, ValueError):
        return f"{start_ns} ns"


def _draw_passed(axes: Axes, time: NDArray[np.float64], prepared: PreparedChunk, recipe: Recipe) -> None:
    if prepared.unscorable:
        axes.text(
            0.5, 0.5, f"no band-passed signal: {prepared.unscorable}", transform=axes.transAxes, ha="center",
            va="center", fontsize=12, color=INK,
        )  # fmt: skip
        return
    for first, last in ((0, recipe.guard), (len(time) - 1 - recipe.guard, len(time) - 1)):
        axes.axvspan(float(time[first]), float(time[last]), color=_GUARD, linewidth=0, zorder=0)
    for side in (-1, 1):
        axes.axhline(side * recipe.threshold * prepared.noise, color=FAINT, linewidth=0.9, linestyle=(0, (5, 4)))
    axes.plot(time, prepared.signal, color=INK, linewidth=0.9)
    reach = float(np.abs(prepared.signal).max())
    for number, pulse in enumerate(prepared.pulses, 1):
        _mark(axes, time, pulse, number, reach)
    axes.set_ylim(-1.1 * reach, (1.1 + (_HEADROOM if prepared.pulses else 0)) * reach)
    noises = f"dashed: {recipe.threshold:g} noises of {prepared.noise:.1f} counts; grey: the filter's guard"
    _note(axes, noises if prepared.pulses else f"no pulse stands out; {noises}")


def _note(axes: Axes, text: str) -> None:
    axes.annotate(text, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", fontsize=11, color=FAINT)


def _mark(axes: Axes, time: NDArray[np.float64], pulse: Pulse, number: int, reach: float) -> None:
    """Shade a pulse from its start to its end, and point to where its envelope peaks."""
    peak, look = float(time[pulse.peak]), _look(pulse)
    axes.axvspan(float(time[pulse.start]), float(time[pulse.end]), color=look.colour, alpha=0.16, linewidth=0, zorder=1)
    axes.axvline(peak, color=look.colour, linewidth=0.9, zorder=1)
    axes.plot(peak, 1.15 * reach, marker=look.marker, color=look.colour, markersize=8, linestyle="none")
    axes.annotate(
        str(number), (peak, 1.15 * reach), (0, 7), textcoords="offset points", ha="center", fontsize=11,
        fontweight="bold", color=look.colour,
    )  # fmt: skip


def _look(pulse: Pulse) -> Look:
    return POSITIVE if pulse.polarity > 0 else NEGATIVE


def _list(axes: Axes, prepared: PreparedChunk, step_us: float) -> None:
    """Write below the panels what is known of each pulse."""
    axes.set_axis_off()
    axes.set_ylim(0.2 + len(prepared.pulses), -0.2)
    rows = enumerate(zip(prepared.pulses, prepared.pulse_flags, strict=True))
    for number, (pulse, flags) in rows:
        look = _look(pulse)
        words = (
            f"{number + 1}:  SNR {pulse.snr:.1f}, {'positive' if pulse.polarity > 0 else 'negative'},"
            f" {pulse.amplitude:.0f} counts, rise {pulse.rise * step_us:.0f} µs,"
            f" width {(pulse.end - pulse.start) * step_us:.0f} µs, {flag_words(flags)}"
        )
        axes.plot(0.005, number + 0.5, marker=look.marker, color=look.colour, markersize=8)
        axes.text(0.02, number + 0.5, words, fontsize=11, va="center", color=INK)
    axes.set_xlim(0, 1)
