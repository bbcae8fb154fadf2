"""One receiver over one stretch of time: what it hears, which chunks it sends, and the truth about each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from fulgor.replay.simulate.leela.arrivals import Arrival
from fulgor.replay.simulate.leela.network import Site
from fulgor.replay.simulate.leela.receiver import BLOCK, INTERVAL_NS, RATE, Receiver
from fulgor.replay.simulate.leela.sources import Kind
from fulgor.replay.simulate.leela.storms import BLOCK_S, START_NS

__all__ = ["CLASSES", "Label", "Sent", "Station"]


class Label(StrEnum):
    """Classes of chunks."""

    NOISE = "noise"
    SINGLE = "single"
    TRAIN = "train"
    CLOUD = "cloud"
    SKYWAVE = "skywave"
    MANMADE = "manmade"
    CLIPPED = "clipped"


CLASSES: tuple[str, ...] = tuple(Label)

# The difficulty, frozen before any training: shares and strengths of what a receiver sends.
_NOISE_COUNTS = 12.0  # in the pass band, of an average receiver
_VISIBLE = 5.0  # noises
_NEIGHBOUR_SHARE = 0.4
_NOISE_TRIGGERS_PER_S = 0.3
_MANMADE_PER_S = 0.06
_MANMADE_BLOCKS = (2, 7)
_MANMADE_COUNTS = (25.0, 160.0)
_CLIPPED_SHARE = 0.07
_CLIPPED_PEAK = (1.3, 4.0)  # over the converter's limit
_SKYWAVE_HOPS = 0.5
_LOST_SHARE = 0.02
_RAIL = 2048.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sent:
    """A chunk on its way.

    Parameters
    ----------
    site : Site
        Who sends it.
    start_ns : int
        Time of its first sample.
    block : int
        Number on the receiver's grid.
    samples : ndarray
        float64 (1024,).
    clipped : bool
        The converter was at its limit.
    label : Label
        The class.
    seen : tuple of Arrival
        Visible pulses whose peak lies in it, in time order.
    peaks : tuple of float
        Their peaks' samples within the chunk, with fractions.
    """

    site: Site
    start_ns: int
    block: int
    samples: Floats
    clipped: bool
    label: Label
    seen: tuple[Arrival, ...]
    peaks: tuple[float, ...]


class Station:
    """A receiver in one block of simulated time.

    Parameters
    ----------
    site : Site
        The receiver.
    seed, stretch : int
        Seed of the simulation, and number of the stretch of `BLOCK_S` seconds.
    """

    def __init__(self, site: Site, seed: int, stretch: int) -> None:
        self._site = site
        self._receiver = Receiver(seed, site.index)
        self._random = np.random.default_rng([seed, 5, site.index, stretch])
        self._stretch = stretch
        self._signal: dict[int, Floats] = defaultdict(lambda: np.zeros(BLOCK))
        self._peaks: dict[int, list[Arrival]] = defaultdict(list)
        self._manmade: set[int] = set()
        self._clipping: set[int] = set()

    @property
    def origin_ns(self) -> int:
        """Time of the grid's sample 0: receivers are not in step."""
        return START_NS + self._site.index * 1_234_567

    def hear(self, arrivals: Iterable[Arrival]) -> None:
        """Add the waves of discharges."""
        for arrival in arrivals:
            if self._is_visible(arrival):
                self._peaks[int(arrival.peak_at // BLOCK)].append(arrival)
            gain = self._clipping_gain(arrival)
            for block in range(arrival.first // BLOCK, (arrival.first + len(arrival.waveform) - 1) // BLOCK + 1):
                offset = block * BLOCK - arrival.first
                low, high = max(offset, 0), min(offset + BLOCK, len(arrival.waveform))
                self._signal[block][low - offset : high - offset] += gain * arrival.waveform[low:high]

    def disturb(self) -> None:
        """Add man-made carriers."""
        first, blocks = self._grid()
        for _ in range(self._random.poisson(_MANMADE_PER_S * BLOCK_S)):
            start = first + int(self._random.integers(blocks))
            length = int(self._random.integers(*_MANMADE_BLOCKS))
            carrier = self._random.uniform(4e3, 17e3)
            strength = self._random.uniform(*_MANMADE_COUNTS)
            wave = strength * np.sin(2 * np.pi * carrier / RATE * np.arange(length * BLOCK))
            keyed = np.convolve(
                np.repeat(self._random.random(length * 4) < 0.8, BLOCK // 4), np.hanning(33) / 16, "same"
            )
            for number in range(length):
                self._signal[start + number] += (wave * keyed)[number * BLOCK : (number + 1) * BLOCK]
                self._manmade.add(start + number)

    def raw(self) -> Iterator[Sent]:
        """Yield contiguous raw chunks of the grid (as of 2023): those with a pulse, some neighbours, false alarms."""
        wanted = set(self._peaks) | {b for b in self._manmade if self._random.random() < 0.5}
        neighbours = {
            block + side for block in sorted(wanted) for side in (-1, 1) if self._random.random() < _NEIGHBOUR_SHARE
        }
        first, blocks = self._grid()
        alarms = first + self._random.integers(blocks, size=self._random.poisson(_NOISE_TRIGGERS_PER_S * BLOCK_S))
        for block in sorted(wanted | neighbours | set(alarms.tolist())):
            if self._random.random() >= _LOST_SHARE:
                yield self._raw_chunk(block)

    def centred(self) -> Iterator[Sent]:
        """Yield band-passed chunks around each visible peak (as of 2018), which overlap where pulses are near."""
        for block in sorted(self._peaks):
            for arrival in sorted(self._peaks[block], key=lambda each: each.peak_at):
                yield self._centred_chunk(arrival)

    def _grid(self) -> tuple[int, int]:
        blocks = int(BLOCK_S * RATE / BLOCK)
        return self._stretch * blocks, blocks

    def _is_visible(self, arrival: Arrival) -> bool:
        return arrival.amplitude >= max(_VISIBLE, self._site.trigger) * _NOISE_COUNTS

    def _clipping_gain(self, arrival: Arrival) -> float:
        """Return 1, or for a share of the visible strokes what makes them too strong: a discharge nearby."""
        near = arrival.discharge.kind is Kind.STROKE and self._is_visible(arrival)
        if not near or self._random.random() >= _CLIPPED_SHARE:
            return 1.0
        self._clipping.add(int(arrival.peak_at // BLOCK))
        return self._random.uniform(*_CLIPPED_PEAK) * _RAIL / arrival.amplitude

    def _counts(self, block: int) -> Floats:
        return self._receiver.background(block) + self._signal.get(block, np.zeros(BLOCK))

    def _raw_chunk(self, block: int) -> Sent:
        samples, clipped = self._receiver.digitise(self._counts(block))
        seen = sorted(self._peaks.get(block, []), key=lambda each: each.peak_at)
        return self._sent(block, block * BLOCK, samples, seen, clipped=clipped)

    def _centred_chunk(self, arrival: Arrival) -> Sent:
        first = round(arrival.peak_at) - BLOCK // 2
        block = first // BLOCK
        stretch = np.concatenate([self._receiver.digitise(self._counts(block + n))[0] for n in (-1, 0, 1, 2)])
        sos = butter(10, [2e3, 18e3], "bandpass", fs=RATE, output="sos")
        offset = BLOCK + first - block * BLOCK
        samples = sosfiltfilt(sos, stretch - stretch.mean())[offset : offset + BLOCK]
        near = [each for b in (block, block + 1) for each in self._peaks.get(b, [])]
        seen = sorted((e for e in near if first <= e.peak_at < first + BLOCK), key=lambda each: each.peak_at)
        clipped = bool(np.abs(stretch[offset : offset + BLOCK]).max() >= _RAIL - 1)
        return self._sent(block, first, samples.astype(np.float32).astype(np.float64), seen, clipped=clipped)

    def _sent(self, block: int, first: int, samples: Floats, seen: Sequence[Arrival], *, clipped: bool) -> Sent:
        start_ns = self.origin_ns + round(first * INTERVAL_NS)
        manmade = bool({first // BLOCK, (first + BLOCK - 1) // BLOCK} & self._manmade)
        label = _label(seen, clipped=clipped, manmade=manmade)
        peaks = tuple(arrival.peak_at - first for arrival in seen)
        return Sent(self._site, start_ns, block, samples, clipped, label, tuple(seen), peaks)


def _label(seen: Sequence[Arrival], *, clipped: bool, manmade: bool) -> Label:
    if clipped:
        return Label.CLIPPED
    if manmade:
        return Label.MANMADE
    if not seen:
        return Label.NOISE
    if any(arrival.discharge.kind is Kind.CLOUD for arrival in seen):
        return Label.CLOUD
    if len(seen) > 1:
        return Label.TRAIN
    return Label.SKYWAVE if seen[0].hops >= _SKYWAVE_HOPS else Label.SINGLE
