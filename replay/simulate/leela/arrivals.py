"""What a discharge does at a receiver: a waveform on the receiver's grid, and the truth about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfreqz

from fulgor.preprocessing.leela.geodesy import distance_m
from fulgor.preprocessing.leela.recipe import DEFAULT
from fulgor.replay.simulate.leela.network import Site
from fulgor.replay.simulate.leela.propagation import SPEED_OF_LIGHT, Path, arrival_s, hop_ratio, transfer
from fulgor.replay.simulate.leela.receiver import BLOCK, INTERVAL_NS, RATE, response
from fulgor.replay.simulate.leela.sources import Discharge, spectrum

__all__ = ["Arrival", "arrival", "path_of"]

_SIZE = 2 * BLOCK
# The waveform starts so long before the first wave that the receiver's filter has no effect yet.
_LEAD_S = 0.5e-3
# Ground retards the first wave by so much of its travel time: mean and spread over the paths.
_RETARDATION, _RETARDATION_SPREAD = 0.0022, 0.0009


@dataclass(frozen=True, slots=True)
class Arrival:
    """A discharge as a receiver gets it.

    Parameters
    ----------
    discharge : Discharge
        What happened.
    site : Site
        The receiver.
    first : int
        Sample of the receiver's grid at which `waveform` begins.
    waveform : ndarray
        float64 (n,): counts, before noise.
    peak_at : float
        Sample of the grid, with its fraction, at which the band-passed envelope peaks.
    amplitude : float
        That peak, counts.
    wave_ns : int
        When the first wave arrives, ns since 1970.
    hops : float
        First hop over ground wave at 10 kHz; beyond 1,000 km it is no meaningful number and is 0.
    distance_m : float
        Geodesic.
    """

    discharge: Discharge
    site: Site
    first: int
    waveform: NDArray[np.float64]
    peak_at: float
    amplitude: float
    wave_ns: int
    hops: float
    distance_m: float


def path_of(discharge: Discharge, site: Site) -> Path:
    """Return the way from a discharge to a site; each storm and site has a ground of its own between them."""
    distance = float(distance_m(discharge.lat, discharge.lon, site.node.lat, site.node.lon))
    ground = f"{discharge.lat:.0f} {discharge.lon:.0f} {site.index}".encode()
    draw = np.random.default_rng(int.from_bytes(hashlib.blake2b(ground, digest_size=8).digest()))
    return Path(distance, discharge.night, max(_RETARDATION + _RETARDATION_SPREAD * draw.standard_normal(), 0.0))


def arrival(discharge: Discharge, site: Site, origin_ns: int) -> Arrival:
    """Return what a receiver whose sample 0 is at `origin_ns` gets of a discharge."""
    path = path_of(discharge, site)
    light_s = (discharge.time_ns - origin_ns) / 1e9 + path.distance_m / SPEED_OF_LIGHT
    first = int((light_s - _LEAD_S) * 1e9 / INTERVAL_NS)
    frequencies, received, band = _receiver()
    delay = light_s - first * INTERVAL_NS / 1e9
    field = spectrum(frequencies, discharge) * transfer(frequencies, path) * received
    field *= np.exp(-2j * np.pi * frequencies * delay) * RATE
    waveform = np.fft.irfft(field, _SIZE)[:BLOCK]
    envelope = np.abs(np.fft.ifft(np.concatenate([2 * field * band, np.zeros(_SIZE // 2 - 1)])))[:BLOCK]
    top = int(np.argmax(envelope[1:-1])) + 1
    before, at, after = envelope[top - 1 : top + 2].tolist()
    curvature = before - 2 * at + after
    part = 0.5 * (before - after) / curvature if curvature < 0 else 0.0
    return Arrival(
        discharge, site, first, waveform, first + top + part, float(envelope[top]),
        discharge.time_ns + round(arrival_s(path) * 1e9),
        hop_ratio(path) if path.distance_m < 1e6 else 0.0, path.distance_m,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _receiver() -> tuple[NDArray[np.float64], NDArray[np.complex128], NDArray[np.float64]]:
    """Return frequencies, the receiver's response, and the gain of the preparation's band-pass at them."""
    frequencies = np.asarray(np.fft.rfftfreq(_SIZE, 1 / RATE), np.float64)
    sos = butter(DEFAULT.order, [DEFAULT.low_hz, DEFAULT.high_hz], "bandpass", fs=RATE, output="sos")
    return frequencies, response(_SIZE), np.abs(sosfreqz(sos, frequencies, fs=RATE)[1]) ** 2
