"""The weights of a model folder, back into a network of any instrument."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from fulgor.errors import ModelError
from fulgor.models.card import WEIGHTS

__all__ = ["with_weights"]

Network = TypeVar("Network", bound=nn.Module)


def with_weights(network: Network, directory: Path) -> Network:
    """Return a network with the weights of a model folder, for inference.

    Raises
    ------
    ModelError
        The weights cannot be read or do not fit the network.
    """
    path = directory / WEIGHTS
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path} does not hold this model's weights ({error}); export the model again") from error
    return network.eval().requires_grad_(False)
