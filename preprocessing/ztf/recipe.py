"""All parameters of the preparation, and the hash that names them.

`PREPARATION_VERSION` goes up with every change of the code that changes an output; the golden
arrays in the tests force that. Together with the parameters it makes the content hash that every
model and every result carries, so that a model never meets stamps prepared in another way.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["ALERCE", "DEFAULT", "PREPARATION_VERSION", "STAMP_SIZE", "Recipe"]

PREPARATION_VERSION = 1

#: Pixels on a side of a whole ZTF stamp; the source is in pixel (31, 31).
STAMP_SIZE = 63


@dataclass(frozen=True, slots=True)
class Recipe:
    """Parameters of the preparation.

    Parameters
    ----------
    scaling : str
        ``asinh``: sky-subtracted, in units of the sky noise, then asinh (`stamps.asinh_scaled`).
        ``minmax``: each stamp from 0 to 1 (`alerce.minmax_scaled`).
    size : int
        Pixels on a side after the crop around the source; odd, at most 63.
    softening : float
        The number of sky sigmas where asinh turns from linear to logarithmic.
    noise_quantile : float
        The sky noise is the distance from the median down to this quantile of the valid pixels:
        0.1587 is one sigma of a Gaussian. The side below is free of sources.
    max_pixel : float
        A pixel beyond this, in DN, counts as invalid, like NaN and infinity.
    sequence_length : int
        Steps of the light curve; the last is the alert itself.
    """

    scaling: Literal["asinh", "minmax"] = "asinh"
    size: int = STAMP_SIZE
    softening: float = 1.0
    noise_quantile: float = 0.1587
    max_pixel: float = 1e9
    sequence_length: int = 32

    def __post_init__(self) -> None:
        if not (0 < self.size <= STAMP_SIZE and self.size % 2):
            raise ValueError(f"a stamp size of {self.size}: an odd number up to {STAMP_SIZE} is needed")
        if not (self.softening > 0 and 0 < self.noise_quantile < 0.5 and self.sequence_length > 0):
            raise ValueError(f"impossible parameters: {self}")

    @property
    def content_hash(self) -> str:
        """16 hexadecimal digits over the parameters and `PREPARATION_VERSION`."""
        described = json.dumps({"version": PREPARATION_VERSION, "stream": "ztf", **asdict(self)}, sort_keys=True)
        return hashlib.blake2b(described.encode(), digest_size=8).hexdigest()


DEFAULT = Recipe()

#: What the stamp classifier of the ALeRCE broker does: centre crop of 21 pixels, each channel from 0
#: to 1 by its smallest and largest valid value, invalid pixels 0.
ALERCE = Recipe(scaling="minmax", size=21)
