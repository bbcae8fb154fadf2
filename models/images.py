"""Which images of an alert the network is shown, and on what scale: all that is done to stamps before the first layer.

Everything here is done alike to the eight orientations of a stamp, so that it breaks no symmetry.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fulgor.errors import ModelError

__all__ = ["IMAGES", "STAMPS", "ImageChoice", "averaged", "checked_images", "significance"]

STAMPS = ("science", "template", "difference")
"""The stamps of an alert, in the order of the prepared arrays."""

SIGNIFICANCE = "snr"
IMAGES = (*STAMPS, SIGNIFICANCE)
"""What the network can be shown: the stamps, and the difference over its noise."""

DIFFERENCE = STAMPS.index("difference")

PSF_SIGMA = 0.85
"""Pixels: a star at the survey's median seeing of 2 arc seconds (FWHM), on pixels of one."""

PSF_REACH = 2
"""Pixels from the middle of the kernel to its edge: 2.4 sigma."""


def checked_images(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of images, or refuse them.

    Raises
    ------
    ModelError
        There are none, one is unknown, or one stands twice.
    """
    if not names or not set(names) <= set(IMAGES) or len(set(names)) < len(names):
        raise ModelError(f"no network for the images {', '.join(names) or '(none)'}; choose among {', '.join(IMAGES)}")
    return tuple(names)


def _psf() -> Tensor:
    """Return a star's image, (1, 1, k, k), of sum 1; its orientations are the same to the last bit."""
    axis = torch.arange(-PSF_REACH, PSF_REACH + 1, dtype=torch.float64)
    image = torch.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * PSF_SIGMA**2))
    return (image / image.sum()).float()[None, None]


def significance(stamp: Tensor, mask: Tensor, psf: Tensor) -> Tensor:
    """Return the signal-to-noise ratio of a star at each pixel of the difference, as asinh.

    The prepared difference is asinh of the flux in units of its sky noise. Its flux is summed under the
    image P of a star over the valid pixels, and divided by the noise of that sum,
    ``sum(P d) / sqrt(sum(P^2))``: the matched filter of a star on white noise (Zackay et al. 2016,
    doi:10.3847/0004-637X/830/1/27, in the case of a sky-limited difference).

    Parameters
    ----------
    stamp, mask : Tensor
        (N, 1, H, H): the prepared difference and its mask.
    psf : Tensor
        (1, 1, k, k).

    Returns
    -------
    Tensor
        (N, 1, H, H), 0 where the mask is.
    """
    edge = psf.shape[-1] // 2
    flux = F.conv2d(torch.sinh(stamp) * mask, psf, padding=edge)
    noise = torch.sqrt(F.conv2d(mask, psf**2, padding=edge))
    return torch.asinh(flux / noise.clamp(min=1e-6)) * mask


def averaged(images: Tensor, masks: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Return images on a coarser scale: the mean over the valid pixels of each block, and the valid part of it.

    Parameters
    ----------
    images, masks : Tensor
        (N, C, H, H).
    block : int
        Pixels along a side of a block; H must be a multiple of it, or turned stamps would have other blocks.
    """
    size = int(images.shape[-1])
    if block < 1 or size % block:
        raise ModelError(f"images of {size} px have no whole blocks of {block} px; choose another size")
    valid = F.avg_pool2d(masks, block)
    return F.avg_pool2d(images * masks, block) / valid.clamp(min=1e-6), valid


class ImageChoice(nn.Module):
    """From the prepared stamps to the images that the network is shown.

    Parameters
    ----------
    names : sequence of str
        Some of :data:`IMAGES`, in the order of the channels.
    """

    psf: Tensor

    def __init__(self, names: Sequence[str] = STAMPS) -> None:
        super().__init__()
        self.names = checked_images(names)
        self.register_buffer("psf", _psf(), persistent=False)

    def __len__(self) -> int:
        return len(self.names)

    def forward(self, stamps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images and their masks, (N, images, H, H), of stamps and masks (N, 3, H, H)."""
        if self.names == STAMPS:
            return stamps, masks
        parts = [self._image(name, stamps, masks) for name in self.names]
        return torch.cat([image for image, _ in parts], dim=1), torch.cat([mask for _, mask in parts], dim=1)

    def _image(self, name: str, stamps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        number = DIFFERENCE if name == SIGNIFICANCE else STAMPS.index(name)
        stamp, mask = stamps[:, number : number + 1], masks[:, number : number + 1]
        return (significance(stamp, mask, self.psf) if name == SIGNIFICANCE else stamp), mask
