"""What the decoder makes of a chunk's pulses: for pictures, and for whoever wonders why a pulse is strange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fulgor.errors import ModelError
from fulgor.models.leela.layout import WINDOW
from fulgor.models.leela.network import Architecture, LeelaNetwork, flank_noise
from fulgor.models.weights import with_weights

__all__ = ["RebuiltPulses", "load_network", "rebuild"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RebuiltPulses:
    """Windows as the network sees them, and as its decoder rebuilds them.

    Parameters
    ----------
    seen, rebuilt : ndarray
        float32 (pulses, 256), in units of each pulse's envelope.
    inside : ndarray
        bool (pulses, 256): samples that lie within the chunk; only these count.
    error : ndarray
        float32 (pulses,): the score ``reconstruction``.
    """

    seen: Floats
    rebuilt: Floats
    inside: NDArray[np.bool_]
    error: Floats


def load_network(directory: Path, card: Mapping[str, Any]) -> LeelaNetwork:
    """Return the network of a model folder.

    Raises
    ------
    ModelError
        The model is another stream's, or its weights cannot be read or do not fit the card's architecture.
    """
    if card["stream"] != "leela":
        raise ModelError(f"{directory} holds a model of stream {card['stream']!r}, not of leela")
    return with_weights(LeelaNetwork(Architecture.from_card(card["architecture"])), directory)


@torch.no_grad()
def rebuild(network: LeelaNetwork, arrays: Mapping[str, NDArray[Any]]) -> RebuiltPulses:
    """Return what the decoder rebuilds of a chunk's windows.

    Parameters
    ----------
    network : LeelaNetwork
        On the CPU.
    arrays : mapping of str to ndarray
        Of a prepared chunk: ``windows`` (P, 2, 256).

    Raises
    ------
    ModelError
        The chunk could not be prepared.
    """
    if "windows" not in arrays:
        raise ModelError("the chunk has no windows: it could not be prepared, its flags tell why")
    windows = torch.from_numpy(np.array(arrays["windows"], np.float32)).reshape(-1, 2, WINDOW)
    codes = network.encode(windows)
    error = network.reconstruction(codes, windows, flank_noise(windows))
    rebuilt = network.decoder(codes)
    return RebuiltPulses(windows[:, 0].numpy(), rebuilt.numpy(), windows[:, 1].numpy() > 0, error.numpy())
