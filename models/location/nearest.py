"""Which of each receiver's pulses is nearest to a time at which one is expected."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Nearest"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Places = NDArray[np.intp]


class Nearest:
    """Pulses in the order of their receivers and times.

    The receivers' times are put one after the other on a single scale, so that one search looks in all.

    Parameters
    ----------
    time_us : ndarray
        float64 (pulses,).
    site : ndarray
        int (pulses,): the receiver of each.
    """

    def __init__(self, time_us: Floats, site: Places) -> None:
        self._first = float(time_us.min(initial=np.inf))
        self._length = float(time_us.max(initial=-np.inf)) - self._first + 1.0
        self._order = np.lexsort((time_us, site))
        self._scale = self._on_scale(time_us[self._order], site[self._order])
        self._site = site

    def among(self, expected_us: Floats, within_us: Floats, free: Bools) -> Places:
        """Return int (rows, receivers): numbers of free pulses, -1 where none is near enough.

        Parameters
        ----------
        expected_us, within_us : ndarray
            float64 (rows, receivers): when a pulse is expected, and how far off it may be.
        free : ndarray
            bool (pulses,): those that may be chosen.
        """
        numbers, scale = self._order[free[self._order]], self._scale[free[self._order]]
        site = np.arange(expected_us.shape[1])
        if not len(numbers):
            return np.full(expected_us.shape, -1)
        expected = self._on_scale(expected_us, site)
        after = np.searchsorted(scale, expected)
        before, after = np.maximum(after - 1, 0), np.minimum(after, len(numbers) - 1)
        off = [
            np.where(self._site[numbers[at]] == site, np.abs(scale[at] - expected), np.inf) for at in (before, after)
        ]
        best = np.where(off[1] < off[0], after, before)
        return np.where(np.minimum(*off) < within_us, numbers[best], -1)

    def _on_scale(self, time_us: Floats, site: Places) -> Floats:
        # What is expected far outside of all times stays with its own receiver.
        inside = np.clip(time_us - self._first, -0.4 * self._length, 1.4 * self._length)
        return np.asarray(inside + 2 * self._length * site, np.float64)
