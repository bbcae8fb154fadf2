"""What lightning radiates: spectra of return strokes and of pulses in clouds.

A return stroke's far field follows the current that runs up the channel (transmission-line model):
a double exponential whose mirror image leaves at the channel's top. A cloud pulse is bipolar and
short. Both are given as spectra, normalised to the field of 1 kA at 100 km in counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["Discharge", "Kind", "spectrum"]

# Counts of a receiver for 1 kA at 100 km.
_COUNTS_PER_KA = 55.0
_SPEED_IN_CHANNEL = 1.3e8

Complex = NDArray[np.complex128]


class Kind(StrEnum):
    """What radiates."""

    STROKE = "stroke"
    CLOUD = "cloud"


@dataclass(frozen=True, slots=True)
class Discharge:
    """One discharge.

    Parameters
    ----------
    id : str
        Unique within a simulation.
    flash : str
        The flash that it belongs to.
    time_ns : int
        When it happens, ns since 1970 UTC.
    lat, lon : float
        Where, degrees.
    kind : Kind
        What it is.
    current_ka : float
        Peak current with its sign; negative lowers negative charge.
    rise_s, fall_s : float
        Time constants of the current.
    channel_m : float
        Length of the channel.
    night : bool
        Whether it happens under a night ionosphere.
    """

    id: str
    flash: str
    time_ns: int
    lat: float
    lon: float
    kind: Kind
    current_ka: float
    rise_s: float
    fall_s: float
    channel_m: float
    night: bool


def spectrum(frequencies: NDArray[np.float64], discharge: Discharge) -> Complex:
    """Return the radiated field's spectrum, counts * s at 100 km: complex128 (F,)."""
    s = 2j * np.pi * frequencies
    pulse = 1 / (s + 1 / discharge.fall_s) - 1 / (s + 1 / discharge.rise_s)
    peak = _peak(discharge.rise_s, discharge.fall_s)
    strength = -_COUNTS_PER_KA * discharge.current_ka / peak
    if discharge.kind is Kind.CLOUD:
        # Up and, weaker and longer, down again: no charge is left behind.
        ratio = 0.5
        back = ratio / (s + ratio / discharge.fall_s) - ratio / (s + ratio / discharge.rise_s)
        return np.asarray(strength * (pulse - back * np.exp(-s * 2 * discharge.fall_s)))
    top = np.exp(-s * discharge.channel_m / _SPEED_IN_CHANNEL)
    return np.asarray(strength * pulse * (1 - 0.6 * top))


def _peak(rise_s: float, fall_s: float) -> float:
    """Return the largest value of exp(-t / fall) - exp(-t / rise)."""
    at = np.log(fall_s / rise_s) / (1 / rise_s - 1 / fall_s)
    return float(np.exp(-at / fall_s) - np.exp(-at / rise_s))
