"""Three stamps and their masks to one vector that no turn or mirror of the stamps changes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fulgor.errors import ModelError
from fulgor.models.symmetry import GroupConv, LiftingConv, TiedConv, group_pool

__all__ = ["CHAINS", "STAMP_CHANNELS", "StampEncoder", "central_crop"]

STAMP_CHANNELS = 3
"""Science, template, difference."""

CHAINS: dict[int, tuple[tuple[int, int], ...]] = {
    63: ((3, 2), (3, 2), (3, 2), (3, 2)),  # 63-31-15-7-3
    31: ((3, 2), (3, 2), (3, 2)),  # 31-15-7-3
    21: ((3, 1), (3, 1), (3, 2), (2, 2)),  # 21-19-17-8-4
}
"""(kernel, stride) of the valid convolutions for each stamp size; a last one reads the whole map."""

GROWTH = (1, 1, 2, 2)
"""Fields of each layer, as multiples of the width."""

CLOSING = 8
"""Fields of the last layer, as a multiple of the width."""


def central_crop(x: Tensor, size: int) -> Tensor:
    """Return the central ``size`` x ``size`` pixels of (..., H, H).

    Raises
    ------
    ModelError
        The stamp is smaller, or cannot be cropped symmetrically.
    """
    margin = int(x.shape[-1]) - size
    if margin < 0 or margin % 2:
        raise ModelError(f"stamps of {x.shape[-1]} px cannot be cropped to {size} px about their centre")
    edge = margin // 2
    return x[..., edge : edge + size, edge : edge + size]


class StampEncoder(nn.Module):
    """The D4-invariant encoder.

    Strided valid group convolutions shrink the stamps to 3x3 (4x4 from 21 px); a last group
    convolution reads that whole map at once, then the group is pooled. Compared with averaging the
    map, this keeps where something lies relative to the centre, which is where the alert is.

    Parameters
    ----------
    size : int
        63, 31 or 21: the stamps are cropped to it about their centre.
    width : int
        Fields of the first layer; each field is eight channels.
    latent : int
        Length of the stamp latent.
    """

    def __init__(self, size: int, width: int, latent: int) -> None:
        super().__init__()
        if size not in CHAINS:
            raise ModelError(f"no encoder for stamps of {size} px; choose one of {sorted(CHAINS)}")
        self.size = size
        layers: list[nn.Module] = []
        inputs = 2 * STAMP_CHANNELS
        for number, (kernel, stride) in enumerate(CHAINS[size]):
            fields = width * GROWTH[number]
            layer: TiedConv = (GroupConv if layers else LiftingConv)(f"conv{number}", inputs, fields, kernel, stride)
            size = layer.output_size(size)
            layers += [layer, nn.ReLU()]
            inputs = fields
        layers += [GroupConv("closing", inputs, CLOSING * width, size), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.project = nn.Linear(2 * CLOSING * width, latent)

    def forward(self, stamps: Tensor, masks: Tensor) -> Tensor:
        """Return the stamp latent (N, latent) of stamps and masks (N, 3, H, H)."""
        x = central_crop(torch.cat([stamps, masks], dim=1), self.size)
        latent: Tensor = self.project(group_pool(self.layers(x)))
        return latent
