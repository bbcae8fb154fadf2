"""ZTF's real/bogus classifier braai (Duev et al. 2019, MNRAS 489 3582): a small VGG net on whole stamps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["SIZE", "Vgg6"]

SIZE = 63
"""Side of its stamps, pixels."""


class Vgg6(nn.Module):
    """VGG6, 312,081 weights; its one logit is that of the second of two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(4), nn.Dropout(0.25),
            nn.Flatten(), nn.Linear(32 * 6 * 6, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 1),
        )  # fmt: skip

    def forward(self, stamps: Tensor, features: Tensor) -> Tensor:  # noqa: ARG002 - it sees stamps alone
        """Return logits (N, 2) of stamps (N, 3, 63, 63)."""
        logit = self.layers(stamps)
        return torch.cat([torch.zeros_like(logit), logit], dim=1)
