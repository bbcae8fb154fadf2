"""Three stamps and their masks to one vector that no turn or mirror of the stamps changes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fulgor.errors import ModelError
from fulgor.models.images import STAMPS, ImageChoice, averaged
from fulgor.models.symmetry import GroupConv, LiftingConv, TiedConv, group_pool

__all__ = ["CHAINS", "StampEncoder", "central_crop"]

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


def _chain(size: int, width: int, images: int) -> nn.Sequential:
    """Return the convolutions from images and masks of a size to fields (N, 8 * CLOSING * width, 1, 1)."""
    layers: list[nn.Module] = []
    inputs = 2 * images
    for number, (kernel, stride) in enumerate(CHAINS[size]):
        fields = width * GROWTH[number]
        layer: TiedConv = (GroupConv if layers else LiftingConv)(f"conv{number}", inputs, fields, kernel, stride)
        size = layer.output_size(size)
        layers += [layer, nn.ReLU()]
        inputs = fields
    return nn.Sequential(*layers, GroupConv("closing", inputs, CLOSING * width, size), nn.ReLU())


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
    images : sequence of str
        What it is shown, see :data:`fulgor.models.images.IMAGES`.
    coarse : int
        Side of a larger field that it is shown beside it, averaged down to ``size`` pixels and read by
        layers of their own; 0 for none.

    Raises
    ------
    ModelError
        There are no layers for this size, or the larger field is no multiple of it.
    """

    def __init__(self, size: int, width: int, latent: int, images: Sequence[str] = STAMPS, coarse: int = 0) -> None:
        super().__init__()
        if size not in CHAINS:
            raise ModelError(f"no encoder for stamps of {size} px; choose one of {sorted(CHAINS)}")
        if coarse and (coarse <= size or coarse % size or coarse > max(CHAINS)):
            raise ModelError(
                f"a coarse field of {coarse} px cannot be averaged down to {size} px; choose a multiple of {size} up "
                f"to {max(CHAINS)}, or 0 for none"
            )
        self.size, self.coarse = size, coarse
        self.choice = ImageChoice(images)
        self.layers = _chain(size, width, len(self.choice))
        if coarse:
            self.coarse_layers = _chain(size, width, len(self.choice))
        self.project = nn.Linear((1 + bool(coarse)) * 2 * CLOSING * width, latent)

    def forward(self, stamps: Tensor, masks: Tensor) -> Tensor:
        """Return the stamp latent (N, latent) of stamps and masks (N, 3, H, H)."""
        images, valid = self.choice(stamps, masks)
        pooled = group_pool(self.layers(central_crop(torch.cat([images, valid], dim=1), self.size)))
        if self.coarse:
            field = averaged(central_crop(images, self.coarse), central_crop(valid, self.coarse), self._block)
            pooled = torch.cat([pooled, group_pool(self.coarse_layers(torch.cat(field, dim=1)))], dim=1)
        latent: Tensor = self.project(pooled)
        return latent

    @property
    def _block(self) -> int:
        return self.coarse // self.size
