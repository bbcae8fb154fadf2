"""Convolutions that commute with the eight symmetries of the square.

The group D4 (wallpaper group p4m) holds four rotations, each with and without a mirror. A field of
a group convolution has one channel per element; turning the input turns every channel and permutes
the eight of a field, so that pooling over space and over the group leaves a vector that does not
change at all. Weights are tied over the group and *expanded* into an ordinary convolution, which is
what runs: equivariance costs nothing at inference (Cohen & Welling 2016, arXiv:1602.07576).

Exactness has one condition that is easily lost: a strided layer must visit the same windows from
either side, ``(H + 2 * padding - kernel) % stride == 0`` (Edixhoven et al. 2023, arXiv:2211.04940).
Every layer here refuses a size that breaks it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fulgor.errors import ModelError

__all__ = [
    "ORDER",
    "GroupConv",
    "LiftingConv",
    "TiedConv",
    "act",
    "compose",
    "expand",
    "group_pool",
    "inverse",
    "orbit_index",
    "output_size",
]

ORDER = 8
"""Elements of D4: ``element = turns + 4 * mirrored`` stands for mirroring first, then turning."""


def compose(first: int, second: int) -> int:
    """Return the element that does ``second`` first and ``first`` after it."""
    turns, mirrored = first % 4, first // 4
    inner = second % 4
    return (turns + (-inner if mirrored else inner)) % 4 + 4 * ((mirrored + second // 4) % 2)


def inverse(element: int) -> int:
    """Return the element that undoes ``element``; a mirrored one undoes itself."""
    return element if element >= 4 else -element % 4


def act(x: Tensor, element: int) -> Tensor:
    """Apply an element to the last two axes, which must be equal in size.

    Parameters
    ----------
    x : Tensor
        Images or kernels (..., H, H).
    element : int
        0 to 7.

    Returns
    -------
    Tensor
        Of the same shape.
    """
    if element >= 4:
        x = x.flip(-1)
    return x.rot90(element % 4, (-2, -1))


def orbit_index(size: int) -> Tensor:
    """Return the pixel indices that carry a flattened image into its eight orientations.

    Parameters
    ----------
    size : int
        Side of the square image.

    Returns
    -------
    Tensor
        int64 (8, size * size): ``image.flatten()[orbit_index(size)[g]]`` is ``act(image, g)``.
    """
    grid = torch.arange(size * size).reshape(size, size)
    return torch.stack([act(grid, element).flatten() for element in range(ORDER)])


def output_size(layer: str, size: int, kernel: int, stride: int, padding: int = 0) -> int:
    """Return the size of a layer's output, and refuse a size that would break the symmetry.

    Parameters
    ----------
    layer : str
        Name of the layer, for the message.
    size, kernel, stride, padding : int
        Side of the input and the layer's geometry, pixels.

    Raises
    ------
    ModelError
        ``(size + 2 * padding - kernel)`` is negative or no multiple of the stride.
    """
    span = size + 2 * padding - kernel
    if span < 0 or span % stride:
        raise ModelError(
            f"layer {layer}: input size {size} with kernel {kernel}, stride {stride} and padding {padding} breaks the "
            f"symmetry, because (size + 2*padding - kernel) = {span} is not a non-negative multiple of the stride; "
            "choose another kernel, stride, padding or stamp size"
        )
    return span // stride + 1


class TiedConv(nn.Module):
    """A convolution whose kernels are tied over D4: the common part of both kinds of layer.

    Parameters
    ----------
    name : str
        Named in errors.
    inputs : int
        Input channels per group element.
    fields : int
        Output fields; the output has ``8 * fields`` channels, the eight of a field adjacent.
    kernel, stride, padding : int
        Geometry in pixels.
    """

    depth: int
    """Kernel planes per input: 1 for images, 8 for fields."""

    def __init__(self, name: str, inputs: int, fields: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.name, self.kernel, self.stride, self.padding = name, kernel, stride, padding
        self.inputs, self.fields = inputs, fields
        spread = math.sqrt(2.0 / (inputs * self.depth * kernel**2))  # He et al. 2015, for ReLU
        self.weight = nn.Parameter(spread * torch.randn(fields, inputs, self.depth, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(fields))

    def output_size(self, size: int) -> int:
        """Return the side of the output for an input of this side, or refuse it (ModelError)."""
        return output_size(self.name, size, self.kernel, self.stride, self.padding)

    def _turned(self, element: int) -> Tensor:
        raise NotImplementedError

    def expanded_weight(self) -> Tensor:
        """Return the kernels of the equal plain convolution: (8 * fields, channels, kernel, kernel)."""
        turned = torch.stack([self._turned(element) for element in range(ORDER)], dim=1)
        return turned.reshape(ORDER * self.fields, self.inputs * self.depth, self.kernel, self.kernel)

    def expanded_bias(self) -> Tensor:
        """Return the bias of the equal plain convolution: (8 * fields,)."""
        return self.bias.repeat_interleave(ORDER)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, channels, H, H) to (N, 8 * fields, H', H')."""
        height, width = int(x.shape[-2]), int(x.shape[-1])
        if height != width:
            raise ModelError(
                f"layer {self.name}: {height}x{width} is not square, so it cannot be turned; pad the stamp"
            )
        self.output_size(height)
        return F.conv2d(x, self.expanded_weight(), self.expanded_bias(), self.stride, self.padding)

    def plain(self) -> nn.Conv2d:
        """Return the same layer as an ordinary convolution, for export and serving."""
        channels = self.inputs * self.depth
        layer = nn.Conv2d(channels, ORDER * self.fields, self.kernel, self.stride, self.padding)
        with torch.no_grad():
            layer.weight.copy_(self.expanded_weight())
            layer.bias.copy_(self.expanded_bias())  # type: ignore[union-attr]
        return layer


class LiftingConv(TiedConv):
    """From an image to fields over D4: every kernel in its eight orientations."""

    depth = 1

    def _turned(self, element: int) -> Tensor:
        return act(self.weight, element)


class GroupConv(TiedConv):
    """From fields to fields over D4: kernels turn in the plane and permute over the group."""

    depth = ORDER

    def _turned(self, element: int) -> Tensor:
        undone = inverse(element)
        planes = [compose(undone, other) for other in range(ORDER)]
        return act(self.weight[:, :, planes], element)


def group_pool(x: Tensor) -> Tensor:
    """Forget the orientation: mean and maximum over the eight channels of each field.

    Parameters
    ----------
    x : Tensor
        (N, 8 * fields, 1, 1).

    Returns
    -------
    Tensor
        (N, 2 * fields), the same for all eight orientations of the input.
    """
    fields = x.reshape(x.shape[0], -1, ORDER)
    return torch.cat([fields.mean(-1), fields.amax(-1)], dim=1)


def expand(module: nn.Module) -> None:
    """Replace, in place, every tied layer below ``module`` by its plain convolution."""
    for name, child in module.named_children():
        if isinstance(child, TiedConv):
            setattr(module, name, child.plain())
        else:
            expand(child)
