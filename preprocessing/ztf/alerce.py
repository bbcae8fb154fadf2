"""Scaling as the ALeRCE stamp classifier does it (Carrasco-Davis et al. 2021, AJ 162, 231), for comparison.

Each channel is cropped first, then mapped to 0..1 by its own smallest and largest valid value, and
pixels without a value become 0, the value of the darkest pixel. ALeRCE drops stamps that are not
63x63; here they are placed and masked like all others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["minmax_scaled"]


def minmax_scaled(pixels: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return a stamp scaled to 0..1.

    Parameters
    ----------
    pixels : ndarray of float32, shape (H, W)
        The cropped stamp, 0 where invalid.
    valid : ndarray of bool, shape (H, W)
        Which pixels hold a value; at least two of them differ.
    """
    values = pixels[valid]
    low, high = values.min(), values.max()
    return np.where(valid, (pixels - low) / (high - low), np.float32(0)).astype(np.float32)
