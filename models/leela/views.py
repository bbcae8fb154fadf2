"""A pulse seen twice: what the contrastive term of the training is made of."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["contrast", "second_view"]

SHIFT = 2
"""Largest shift of a second view, samples: what noise and an edge do to a peak's place."""
CUT = 96
"""Samples that an edge may take from a second view, at most."""


def second_view(windows: Tensor, log_snr: Tensor, random: torch.Generator) -> Tensor:
    """Return windows (M, 2, 256) as another chunk would show them: shifted, noisier, cut by an edge."""
    count, _, size = windows.shape
    shift = torch.randint(-SHIFT, SHIFT + 1, (count, 1), generator=random)
    places = (torch.arange(size) + shift).clamp(0, size - 1)
    moved = torch.gather(windows, 2, places.unsqueeze(1).expand(-1, 2, -1))
    noise = F.avg_pool1d(torch.randn(count, 1, size + 4, generator=random), 5, stride=1).squeeze(1)
    noisy = moved[:, 0] + noise * torch.exp(-log_snr).unsqueeze(1)
    cut = torch.randint(0, CUT, (count, 1), generator=random) * (torch.rand(count, 1, generator=random) < 0.3)
    left = torch.rand(count, 1, generator=random) < 0.5
    steps = torch.arange(size)
    inside = moved[:, 1] * torch.where(left, steps >= cut, steps < size - cut)
    return torch.stack([noisy * inside, inside], dim=1)


def contrast(one: Tensor, other: Tensor, sharpness: float) -> Tensor:
    """Return the loss of finding each row's other view among all rows (NT-Xent; Chen et al. 2020, arXiv:2002.05709)."""
    similarity = F.normalize(one, dim=1) @ F.normalize(other, dim=1).T / sharpness
    own = torch.arange(len(one), device=one.device)
    return 0.5 * (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own))
