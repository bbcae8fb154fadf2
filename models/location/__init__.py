"""Where lightning struck: pulses of several sites to strokes with error ellipses. Numpy and scipy only.

``timing`` reads arrival times off a pulse's window; ``companies`` proposes which pulses are one stroke,
``search`` decides in which order they are asked, ``trials`` tries many of them at once; ``fit`` and
``solve`` find position and time on the ellipsoid, ``phase`` sharpens them with the waves beneath the
envelopes.
"""

from __future__ import annotations

from fulgor.models.location.associate import Locator
from fulgor.models.location.model import DEFAULT, Propagation, Sighting
from fulgor.models.location.phase import PHASE
from fulgor.models.location.solve import Solution, solve
from fulgor.models.location.stroke import Stroke
from fulgor.models.location.timing import Timing, timing

__all__ = ["DEFAULT", "PHASE", "Locator", "Propagation", "Sighting", "Solution", "Stroke", "Timing", "solve", "timing"]
