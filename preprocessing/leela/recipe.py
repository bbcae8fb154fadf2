"""The parameters of the preparation, and the hash that names them on every model and result."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

__all__ = ["DEFAULT", "NOMINAL_INTERVAL_NS", "PREPARATION_VERSION", "Recipe"]

#: Raised with any change of the code that changes the arrays.
PREPARATION_VERSION = 1

#: Sampling interval of the network's receivers, ns (109,375 Hz).
NOMINAL_INTERVAL_NS = 9142.857


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a chunk becomes pulses and windows.

    Parameters
    ----------
    low_hz, high_hz : float
        Pass band.
    order : int
        Of the Butterworth filter, applied forwards and backwards; a higher one rings longer.
    guard : int
        Samples next to an edge in which the filter is not trusted.
    threshold : float
        Least envelope of a pulse in units of the noise.
    separation : int
        Least distance of two pulses' peaks, samples.
    ringing : float
        Within the guard of a stronger pulse, what is less than this part of its peak is the filter's echo.
    most_pulses : int
        Pulses that are kept of a chunk.
    window : int
        Length of a window, samples; the peak stands at ``window // 2``.

    Raises
    ------
    ValueError
        Impossible parameters.
    """

    low_hz: float = 2_000.0
    high_hz: float = 18_000.0
    order: int = 4
    guard: int = 128
    threshold: float = 5.0
    separation: int = 32
    ringing: float = 0.08
    most_pulses: int = 8
    window: int = 256

    def __post_init__(self) -> None:
        if not 0 < self.low_hz < self.high_hz or self.order < 1 or self.guard < 1:
            raise ValueError(f"impossible filter: {self}")
        if self.threshold <= 0 or self.separation < 2 or not 1 <= self.most_pulses <= 64 or self.window % 2:
            raise ValueError(f"impossible parameters: {self}")

    @property
    def content_hash(self) -> str:
        """16 hexadecimal digits over the parameters and `PREPARATION_VERSION`."""
        described = json.dumps({"version": PREPARATION_VERSION, "stream": "leela", **asdict(self)}, sort_keys=True)
        return hashlib.blake2b(described.encode(), digest_size=8).hexdigest()


DEFAULT = Recipe()
