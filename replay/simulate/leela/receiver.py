"""What a receiver adds: mains hum, transmitters, noise, its own band, and a converter with limits.

Everything but a chunk's own trigger is a function of absolute time, so that neighbouring chunks join
without a seam.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, firwin2, sosfreqz

__all__ = ["BLOCK", "INTERVAL_NS", "RATE", "SMPLINT", "Receiver", "response"]

INTERVAL_NS = 9142.859755
"""True sampling interval, ns."""

SMPLINT = 9.142857e-06
"""Sampling interval as stated, s."""

RATE = 1e9 / INTERVAL_NS
BLOCK = 1024
"""Samples of a chunk."""

_TAPS = 255
# Noise between the lines, counts per root hertz at the given frequencies.
_NOISE_HZ = (0.0, 1500.0, 2000.0, 3000.0, 4000.0, 6000.0, 8000.0, 12000.0, 20000.0, 54687.0)
_NOISE_COUNTS = (0.8, 0.40, 0.22, 0.11, 0.065, 0.030, 0.017, 0.013, 0.014, 0.011)
# Mains hum: harmonics of 50 Hz, rms counts at 100 Hz, falling with the power of frequency, then steeply.
_HUM_COUNTS, _HUM_POWER, _HUM_TO_HZ, _HUM_BREAK_HZ = 50.0, 0.5, 4000.0, 1300.0
_MAINS_HZ = 50.0
_HUM_STEPS = 8192  # of one period
# Transmitters: carrier (Hz) and rms counts.
_TRANSMITTERS = ((20_270.0, 5.0), (23_400.0, 8.5), (26_700.0, 6.5), (45_900.0, 4.3))
_BAUD = 200.0  # of minimum-shift keying
_RAIL = 2048.0  # the converter's limit, counts
_SEEDS = 2**32

Floats = NDArray[np.float64]


@lru_cache(maxsize=8)
def response(size: int) -> NDArray[np.complex128]:
    """Return the receiver's response at the frequencies of a real transform of `size` samples."""
    sos = butter(4, [300.0, 40_000.0], "bandpass", fs=RATE, output="sos")
    answer: NDArray[np.complex128] = sosfreqz(sos, np.fft.rfftfreq(size, 1 / RATE), fs=RATE)[1]
    return answer


@lru_cache(maxsize=1)
def _colour() -> Floats:
    """Return the filter that turns white noise into the receiver's."""
    gain = np.array(_NOISE_COUNTS) * np.sqrt(RATE / 2)
    taps: Floats = firwin2(_TAPS, (*_NOISE_HZ[:-1], RATE / 2), gain, fs=RATE)
    return taps


class Receiver:
    """The background of one site.

    Parameters
    ----------
    seed : int
        Of the simulation.
    index : int
        Number of the site.
    """

    def __init__(self, seed: int, index: int) -> None:
        self._key = [seed, 2, index]
        random = np.random.default_rng(self._key)
        self._phase = random.uniform(0, 2 * np.pi, 512)
        self._strength = random.uniform(0.5, 1.5, 512)
        self._offset = random.normal(-295.0, 30.0)
        self._noise = random.uniform(0.85, 1.25)
        self._mains = self._one_period()

    def background(self, block: int) -> Floats:
        """Return what the receiver hears without lightning in one block of its grid: float64 (1024,), counts."""
        seconds = (block * BLOCK + np.arange(BLOCK)) / RATE
        # Whole numbers of a long period keep the phases exact however late the block is.
        seconds -= np.floor(seconds[0])
        whole = int(block * BLOCK / RATE)
        return self._offset + self._coloured(block) + self._hum(seconds, whole) + self._carriers(seconds, whole)

    def digitise(self, counts: Floats, gain: float = 1.0) -> tuple[Floats, bool]:
        """Return whole counts within the converter's limits, and whether it was at one."""
        amplified = np.rint(counts * gain)
        return np.clip(amplified, -_RAIL, _RAIL - 1), bool(np.abs(amplified).max() >= _RAIL)

    def _white(self, block: int) -> Floats:
        # A chunk that begins with the grid is coloured by the block before: a seed has no sign.
        return np.random.default_rng([*self._key, 3, block % _SEEDS]).standard_normal(BLOCK)

    def _coloured(self, block: int) -> Floats:
        white = np.concatenate([self._white(block - 1)[1 - _TAPS :], self._white(block)])
        coloured: Floats = np.convolve(white, _colour(), "valid") * self._noise
        return coloured

    def _hum(self, seconds: Floats, whole: int) -> Floats:
        # The mains wander slowly; within some chunks their phase does not move.
        drift = 0.06 * np.sin(2 * np.pi * (whole % 600) / 600 + self._phase[0])
        periods = (seconds * _MAINS_HZ + drift) % 1.0
        hum: Floats = np.interp(periods, np.linspace(0, 1, _HUM_STEPS + 1), self._mains)
        return hum

    def _one_period(self) -> Floats:
        """Return one period of the mains' hum, its first sample repeated at the end."""
        numbers = np.arange(1, int(_HUM_TO_HZ / _MAINS_HZ) + 1)
        rms = _HUM_COUNTS * (numbers * _MAINS_HZ / 100.0) ** -_HUM_POWER * self._strength[: len(numbers)]
        rms /= np.sqrt(1 + (numbers * _MAINS_HZ / _HUM_BREAK_HZ) ** 6)
        rms[numbers % 2 == 1] *= 0.45  # mostly full-wave rectified
        rms[0] *= 0.5
        lines = np.zeros(_HUM_STEPS // 2 + 1, np.complex128)
        lines[1 : len(numbers) + 1] = rms * np.sqrt(2) * np.exp(1j * self._phase[: len(numbers)])
        period = np.fft.irfft(lines, _HUM_STEPS) * _HUM_STEPS / 2
        return np.append(period, period[0])

    def _carriers(self, seconds: Floats, whole: int) -> Floats:
        total = np.zeros(len(seconds))
        for number, (carrier, rms) in enumerate(_TRANSMITTERS):
            symbols = np.random.default_rng([*self._key, 4, number, whole]).choice([-1.0, 1.0], int(_BAUD) + 4)
            swing = np.cumsum(symbols) * np.pi / 2
            place = seconds * _BAUD
            low = place.astype(int)
            phase = swing[low] + (place - low) * symbols[low + 1] * np.pi / 2
            total += np.sqrt(2) * rms * self._strength[number] * np.cos(2 * np.pi * carrier * seconds + phase)
        return total
