"""What every fitted score is: latents to one number each, in numpy, and its arrays by name."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrays", "Floats", "Labels", "Score"]

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]


class Score(Protocol):
    """A fitted score: the larger, the stranger."""

    def __call__(self, latents: Floats) -> Floats:
        """Return the score (N,) of standardised latents (N, D)."""
        ...

    def arrays(self) -> Arrays:
        """Return what the score is made of, as it is saved."""
        ...
