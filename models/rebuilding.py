"""What the decoder makes of an alert's stamps: for pictures, and for whoever wonders why an alert is strange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fulgor.models.encoder import central_crop
from fulgor.models.layout import INPUTS
from fulgor.models.symmetry import act
from fulgor.models.ztf import ZtfNetwork

__all__ = ["Rebuilt", "rebuild"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Images as the network sees them, and as its decoder rebuilds them.

    Parameters
    ----------
    names : tuple of str
        Names of the images.
    seen, rebuilt : ndarray
        float32 (images, H, H), in the units of the preparation: asinh of sky sigmas.
    valid : ndarray
        bool (images, H, H): pixels that hold a value; only these count.
    error : float
        The reconstruction score: the least over the eight orientations, NaN where no pixel is valid.
    """

    names: tuple[str, ...]
    seen: Floats
    rebuilt: Floats
    valid: NDArray[np.bool_]
    error: float


@torch.no_grad()
def rebuild(network: ZtfNetwork, arrays: Mapping[str, NDArray[Any]]) -> Rebuilt:
    """Return what the decoder rebuilds of one alert, turned to where it resembles the stamps most.

    Parameters
    ----------
    network : ZtfNetwork
        On the CPU.
    arrays : mapping of str to ndarray
        Model input without a batch axis.
    """
    stamps, masks = (torch.from_numpy(np.array(arrays[name], np.float32)).unsqueeze(0) for name in INPUTS[:2])
    decoder, latent = network.stamp_decoder, network.encoder(stamps, masks)
    errors, pixels = decoder.errors(latent, stamps, masks)
    images, valid = (central_crop(part, decoder.view)[0] for part in decoder.choice(stamps, masks))
    rebuilt = act(decoder(latent)[0], int(errors[0].argmin()))
    error = float(errors.amin()) if float(pixels) > 0 else float("nan")
    return Rebuilt(decoder.choice.names, images.numpy(), rebuilt.numpy(), valid.numpy() > 0, error)
