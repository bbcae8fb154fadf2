"""From a discharge to a distant receiver: ground wave and hops near, waveguide modes beyond 1,000 km.

Everything is a transfer function of frequency, relative to a wave at the speed of light in vacuum, so
that arrival times between samples and dispersion come out right. The ionosphere is a sharp mirror at
a height of day or night (70 and 87 km) that reflects worse by day and at steep angles; beyond about
1,000 km the sum of rays becomes the sum of the first modes of the guide between earth and ionosphere
(cut-off frequencies of a guide with a magnetic upper wall, (2m - 1) c / 4h; Wait 1962), each with its
attenuation and dispersion. Ground of finite conductivity retards the ground wave by a fraction of a
per mille that differs from path to path: no solver can know it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SPEED_OF_LIGHT", "Path", "arrival_s", "hop_ratio", "transfer"]

SPEED_OF_LIGHT = 299_792_458.0
_EARTH_M = 6_371_000.0
_DAY_HEIGHT_M, _NIGHT_HEIGHT_M = 70_000.0, 87_000.0
_HOPS = 3
_MODES = 3
# Attenuation of the modes at 10 kHz, dB per 1,000 km, by day and by night.
_DAY_LOSS_DB, _NIGHT_LOSS_DB = (3.2, 9.0, 20.0), (1.6, 4.0, 9.0)
# Rays turn into modes between these distances.
_RAYS_TO_M, _MODES_FROM_M = 800_000.0, 1_200_000.0
_REFERENCE_M = 100_000.0
_GROUND_LOSS_DB = 1.5  # of the ground wave at 10 kHz, per 1,000 km

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Path:
    """One way from a discharge to a receiver.

    Parameters
    ----------
    distance_m : float
        Along the ellipsoid.
    night : bool
        Whether the ionosphere above it is the night's.
    retardation : float
        Extra delay of the ground wave as a part of its travel time.
    """

    distance_m: float
    night: bool
    retardation: float

    @property
    def height_m(self) -> float:
        """Height of the mirror."""
        return _NIGHT_HEIGHT_M if self.night else _DAY_HEIGHT_M


def arrival_s(path: Path) -> float:
    """Return the travel time of the first wave, seconds."""
    return path.distance_m / SPEED_OF_LIGHT * (1 + path.retardation)


def transfer(frequencies: Floats, path: Path) -> Complex:
    """Return the field at the receiver over that at 100 km, relative to a delay of distance / c.

    Parameters
    ----------
    frequencies : ndarray
        float64 (F,), Hz.
    path : Path
        The way.

    Returns
    -------
    ndarray
        complex128 (F,); 0 at frequency 0.
    """
    modes = float(np.clip((path.distance_m - _RAYS_TO_M) / (_MODES_FROM_M - _RAYS_TO_M), 0, 1))
    field = np.zeros(len(frequencies), np.complex128)
    if modes < 1:
        field += (1 - modes) * _rays(frequencies, path)
    if modes > 0:
        field += modes * _guided(frequencies, path)
    retarded = path.distance_m / SPEED_OF_LIGHT * path.retardation
    field *= np.exp(-2j * np.pi * frequencies * retarded)
    field[frequencies <= 0] = 0
    return field


def hop_ratio(path: Path) -> float:
    """Return the strength of the first hop over that of the ground wave, at 10 kHz."""
    at = np.array([10_000.0])
    return float(np.abs(_hop(at, path, 1)[0]) / np.abs(_ground(at, path)[0]))


def _rays(frequencies: Floats, path: Path) -> Complex:
    hops = [_hop(frequencies, path, number) for number in range(1, _HOPS + 1)]
    field: Complex = _ground(frequencies, path) + np.sum(hops, axis=0)
    return field


def _ground(frequencies: Floats, path: Path) -> Complex:
    loss_db = _GROUND_LOSS_DB * path.distance_m / 1e6 * (np.maximum(frequencies, 1.0) / 1e4) ** 2
    return np.asarray((_REFERENCE_M / max(path.distance_m, 1e3)) * 10 ** (-loss_db / 20), np.complex128)


def _hop(frequencies: Floats, path: Path, number: int) -> Complex:
    """Return a wave that the ionosphere reflects `number` times; geometry over a sphere."""
    half = path.distance_m / (2 * number * _EARTH_M)
    high = _EARTH_M + path.height_m
    leg = np.sqrt(_EARTH_M**2 + high**2 - 2 * _EARTH_M * high * np.cos(half))
    length = 2 * number * leg
    grazing = np.sin(np.arccos(np.clip((high**2 + leg**2 - _EARTH_M**2) / (2 * high * leg), -1, 1)))
    vertical = np.sqrt(max(1 - grazing**2, 0.0))
    steepness = (3.0 if path.night else 7.0) * vertical
    mirror = -np.exp(-steepness * np.sqrt(np.maximum(frequencies, 1.0) / 2e4) - 0.1)
    pattern = float(np.clip(grazing, 0, 1)) ** 2  # of the vertical dipole and of the vertical antenna
    delay = (length - path.distance_m) / SPEED_OF_LIGHT
    field: Complex = 2 * pattern * _REFERENCE_M / length * mirror**number * np.exp(-2j * np.pi * frequencies * delay)
    return field


def _guided(frequencies: Floats, path: Path) -> Complex:
    losses = _NIGHT_LOSS_DB if path.night else _DAY_LOSS_DB
    above = np.maximum(frequencies, 1.0)
    angle = path.distance_m / _EARTH_M
    spread = _REFERENCE_M / np.sqrt(_RAYS_TO_M * _EARTH_M * np.sin(min(angle, 3.0)))
    field = np.zeros(len(frequencies), np.complex128)
    for number, loss in enumerate(losses[:_MODES]):
        cutoff = (2 * number + 1) * SPEED_OF_LIGHT / (4 * path.height_m)
        propagates = above > 1.02 * cutoff
        index = np.sqrt(np.where(propagates, 1 - (cutoff / above) ** 2, 1.0))  # c over the phase velocity
        phase = 2 * np.pi * frequencies * path.distance_m / SPEED_OF_LIGHT * (index - 1)
        loss_db = loss * path.distance_m / 1e6 * (0.5 + 0.5 * (1e4 / np.maximum(above, 3e3)) ** 0.8)
        field += np.where(propagates, spread * 10 ** (-loss_db / 20) * np.exp(-1j * phase), 0) / (number + 1)
    return field
