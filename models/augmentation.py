"""What is done to a training alert before the network sees it.

Turning and shifting change what is to be rebuilt, too; all other damage is done to the input alone, so
that the autoencoder learns to undo it. Right angles and mirrors need no augmentation: the encoder does
not see them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fulgor.models.batches import Batch
from fulgor.models.layout import HIDEABLE, SINCE_PREVIOUS

__all__ = ["Augmentation", "History", "corrupt", "corrupt_history", "turn"]

WHOLE = 0.99
"""A resampled pixel counts as valid where so much of it came from valid pixels."""

LARGEST_PATCH = 12
"""Side of a masked patch at most, pixels."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How much is done to an input.

    Parameters
    ----------
    turned : float
        Probability that the stamps are turned by any angle and shifted; they lose some noise by it.
    shift : float
        Largest shift along either axis, pixels.
    noise : float
        Standard deviation added to valid pixels, in the stamps' units.
    stripe, patch : float
        Probability that a stripe along one edge is masked out, as at the border of a detector, or a
        rectangle, as around a saturated star.
    blind : float
        Probability that an alert loses all its stamps.
    hidden : float
        Probability that a step before the alert tells its time and band only.
    forgotten : float
        Probability that an alert loses its history: the first alert of an object has none.
    swapped : float
        Probability that a feature takes the value of another alert.
    """

    turned: float = 0.3
    shift: float = 1.0
    noise: float = 0.05
    stripe: float = 0.1
    patch: float = 0.1
    blind: float = 0.05
    hidden: float = 0.25
    forgotten: float = 0.15
    swapped: float = 0.15


def _chosen(shape: tuple[int, ...], probability: float, random: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=random) < probability).float()


def turn(batch: Batch, how: Augmentation, random: torch.Generator) -> Batch:
    """Return a batch some of whose stamps are turned by any angle and shifted by up to ``how.shift`` pixels.

    The three stamps of an alert turn together. Pixels that come from outside, or in part from masked
    ones, are masked.
    """
    chosen = torch.nonzero(_chosen((len(batch.labels),), how.turned, random)).squeeze(1)
    if not len(chosen):
        return batch
    size = batch.stamps.shape[-1]
    angle = 2 * math.pi * torch.rand(len(chosen), generator=random)
    shift = (2 * torch.rand(len(chosen), 2, generator=random) - 1) * how.shift * 2 / size
    cosine, sine = torch.cos(angle), torch.sin(angle)
    rows = [torch.stack([cosine, -sine, shift[:, 0]], 1), torch.stack([sine, cosine, shift[:, 1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), [len(chosen), 1, size, size], align_corners=False)
    stamps, masks = batch.stamps.clone(), batch.masks.clone()
    masks[chosen] = (F.grid_sample(batch.masks[chosen], grid, align_corners=False) > WHOLE).float()
    stamps[chosen] = F.grid_sample(batch.stamps[chosen], grid, align_corners=False) * masks[chosen]
    return batch._replace(stamps=stamps, masks=masks)


def _stripes(batch: Batch, probability: float, random: torch.Generator) -> Tensor:
    """Return (N, 1, H, H): 0 on a random stripe along one edge of some alerts' stamps, else 1."""
    count, size = len(batch.stamps), batch.stamps.shape[-1]
    depth = torch.randint(1, size // 3, (count, 1), generator=random)
    stripe = (torch.arange(size) < depth).float() * _chosen((count, 1), probability, random)
    rows = (1.0 - stripe).reshape(count, 1, size, 1).expand(-1, -1, -1, size)
    return torch.where(_chosen((count, 1, 1, 1), 0.5, random) > 0, rows, rows.transpose(2, 3))


def _patches(batch: Batch, probability: float, random: torch.Generator) -> Tensor:
    """Return (N, 1, H, H): 0 on a random rectangle of some alerts' stamps, else 1; never at the centre."""
    count, size = len(batch.stamps), batch.stamps.shape[-1]

    def span() -> Tensor:
        first = torch.randint(0, size, (count, 1), generator=random)
        length = torch.randint(2, LARGEST_PATCH, (count, 1), generator=random)
        pixel = torch.arange(size)
        return ((pixel >= first) & (pixel < first + length)).float()

    patch = span().unsqueeze(2) * span().unsqueeze(1) * _chosen((count, 1, 1), probability, random)
    patch[:, size // 2, size // 2] = 0.0
    return (1.0 - patch).unsqueeze(1)


def _damaged_stamps(batch: Batch, how: Augmentation, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return stamps with noise and holes, and their masks."""
    kept = 1.0 - _chosen((len(batch.labels), 1, 1, 1), how.blind, random)
    masks = batch.masks * _stripes(batch, how.stripe, random) * _patches(batch, how.patch, random) * kept
    return (batch.stamps + how.noise * torch.randn(batch.stamps.shape, generator=random)) * masks, masks


class History(NamedTuple):
    """What the network sees of an alert beside its stamps, and which steps are hidden from it, (N, L)."""

    sequence: Tensor
    sequence_mask: Tensor
    features: Tensor
    hidden: Tensor


def corrupt_history(batch: Batch, how: Augmentation, random: torch.Generator) -> History:
    """Return a damaged copy of light curves and features; the stamps are not looked at."""
    count, steps = batch.sequence_mask.shape
    earlier = batch.sequence_mask.clone()
    earlier[:, -1] = 0.0
    forgotten = _chosen((count, 1), how.forgotten, random) * earlier
    hidden = _chosen((count, steps), how.hidden, random) * earlier
    kept = batch.sequence_mask - forgotten
    sequence = batch.sequence * kept.unsqueeze(2)
    sequence[:, :, HIDEABLE] *= (1.0 - hidden).unsqueeze(2)
    sequence[:, -1, SINCE_PREVIOUS] *= 1.0 - forgotten.amax(1)
    swapped = _chosen(tuple(batch.features.shape), how.swapped, random)
    others = batch.features[torch.randperm(count, generator=random)]
    features = torch.where(swapped > 0, others, batch.features)
    return History(sequence, kept, features, torch.maximum(hidden, forgotten))


def corrupt(batch: Batch, how: Augmentation, random: torch.Generator) -> tuple[Batch, Tensor]:
    """Return a damaged copy of a batch, and which steps it hides.

    Parameters
    ----------
    batch : Batch
        The true input; it is not changed.
    how : Augmentation
        How much.
    random : torch.Generator
        Source of all randomness.

    Returns
    -------
    Batch
        The damaged copy.
    Tensor
        (N, L): 1 where the photometry of a step was hidden.
    """
    stamps, masks = _damaged_stamps(batch, how, random)
    seen = corrupt_history(batch, how, random)
    return Batch(stamps, masks, seen.sequence, seen.sequence_mask, seen.features, batch.labels), seen.hidden
