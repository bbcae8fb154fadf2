"""Whether several sites heard one source: strengths that distance explains, and no site silent that should have heard.

Amplitudes fall with the distance and some more; receivers are taken to be of equal gain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["COARSE", "FINE", "FINE_OF_FEW", "are_of_one_source", "loss", "spread"]

COARSE, FINE, FINE_OF_FEW = 0.6, 0.35, 0.2
"""How much the sources that sites make out may differ (standard deviation of logarithms): by a cell, by a fit,
by a fit of three or four sites."""

# Nearer than this a receiver may clip, and more than the radiated field arrives: such a strength says nothing.
_LOSS_M, _NEAREST_M = 3.0e6, 5e4
# A receiver at work that should get this many times what the weakest one got, and has no pulse, contradicts.
_HEARD = 2.5
_SITES_A_CONTRADICTION = 5

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def loss(distance_m: Floats) -> Floats:
    """Return by how much the logarithm of an amplitude falls over distances in metres."""
    far = np.maximum(distance_m, _NEAREST_M)
    return np.asarray(np.log(far) + far / _LOSS_M, np.float64)


_NEAREST_LOSS = float(loss(np.array(_NEAREST_M)))


def are_of_one_source(
    amplitude: Floats, losses: Floats, at_work: NDArray[np.bool_], worst: Floats | float
) -> NDArray[np.bool_]:
    """Tell of each place whether it may be where the source was.

    Parameters
    ----------
    amplitude : ndarray
        float64 (places, sites): logarithms of what each site heard; NaN where it has no pulse.
    losses : ndarray
        float64 (places, sites): on the way to each site.
    at_work : ndarray
        bool (sites,): which of them would have sent a pulse.
    worst : float or ndarray
        `COARSE`, `FINE` or `FINE_OF_FEW`; of each place where it is an array.
    """
    heard = ~np.isnan(amplitude)
    mean, differ = _source(amplitude, losses)
    weakest = np.where(heard, amplitude, np.inf).min(axis=1)
    missed = (mean[:, None] - losses > weakest[:, None] + np.log(_HEARD)) & at_work & ~heard
    allowed = heard.sum(axis=1) // _SITES_A_CONTRADICTION
    return np.asarray((differ <= worst) & (missed.sum(axis=1) <= allowed), np.bool_)


def spread(amplitude: Floats, losses: Floats) -> Floats:
    """Return by how much the sources that sites make out differ: float64 (places,), arguments as above."""
    return _source(amplitude, losses)[1]


def _source(amplitude: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of the logarithm of the source's strength, as far sites make it out."""
    far = ~np.isnan(amplitude) & (losses > _NEAREST_LOSS)
    count = np.maximum(far.sum(axis=1), 1)
    source = np.where(far, amplitude + losses, 0.0)
    mean = source.sum(axis=1) / count
    return mean, np.sqrt(np.where(far, (source - mean[:, None]) ** 2, 0.0).sum(axis=1) / count)
