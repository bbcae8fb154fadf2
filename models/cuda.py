"""The same network in torch, for CUDA. Imported only where a GPU is in use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fulgor.errors import DeviceError
from fulgor.models.weights import with_weights
from fulgor.models.ztf import Architecture, ZtfNetwork

__all__ = ["TorchBackend", "load_network"]

Floats = NDArray[np.float32]


def load_network(directory: Path, card: Mapping[str, Any]) -> ZtfNetwork:
    """Return the network of a model folder, with its weights tied over the group.

    Raises
    ------
    ModelError
        The weights cannot be read or do not fit the card's architecture.
    """
    return with_weights(ZtfNetwork(Architecture.from_card(card["architecture"])), directory)


class TorchBackend:
    """Plain convolutions in full float32.

    Parameters
    ----------
    directory : Path
        The model's folder.
    card : mapping
        Its card.
    device : str
        A torch device.

    Raises
    ------
    DeviceError
        This torch cannot use the device.
    ModelError
        The weights cannot be read.
    """

    def __init__(self, directory: Path, card: Mapping[str, Any], device: str) -> None:
        self._device = torch.device(device)
        if self._device.type == "cuda":
            if not torch.cuda.is_available():
                raise DeviceError(
                    f"torch {torch.__version__} cannot use the GPU; install its CUDA build, or use --device cpu"
                )
            # TF32 keeps 10 bits of the mantissa: the latents would no longer be invariant to 1e-6.
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False
        self._network = load_network(directory, card).expanded().to(self._device)

    @torch.inference_mode()
    def __call__(self, inputs: list[Floats]) -> list[Floats]:
        """Run the whole batch at once; raise MemoryError if the device has no room for it."""
        try:
            outputs = self._network(*(self._moved(part) for part in inputs))
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise MemoryError(str(error)) from error
        return [part.cpu().numpy() for part in outputs]

    def _moved(self, array: Floats) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()  # page-locked memory is copied while the host goes on
        return tensor.to(self._device, non_blocking=True)
