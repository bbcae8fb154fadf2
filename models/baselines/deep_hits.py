"""ALeRCE's stamp classifier (Carrasco-Davis et al. 2021, AJ 162 231, arXiv:2008.03309)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["SIZE", "DeepHits"]

SIZE = 21
"""Side of its stamps, pixels."""

HIDDEN = 64
DROPOUT = 0.5


class DeepHits(nn.Module):
    """Deep-HiTS (Cabrera-Vives et al. 2017) with cyclic pooling, joined by batch-normed metadata.

    Parameters
    ----------
    features, classes : int
        Metadata features and classes.
    cyclic : bool
        Whether the stamps pass the trunk at four rotations, whose codes are averaged: exact invariance
        under quarter turns. Without it, the same net for one pass.
    """

    def __init__(self, features: int, classes: int, *, cyclic: bool = True) -> None:
        super().__init__()
        self.cyclic = cyclic
        self.trunk = nn.Sequential(
            nn.ZeroPad2d(3), nn.Conv2d(3, 32, 4), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(64 * 6 * 6, HIDDEN), nn.ReLU(),
        )  # fmt: skip
        self.norm = nn.BatchNorm1d(features)
        self.head = nn.Sequential(
            nn.Linear(HIDDEN + features, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, classes),
        )  # fmt: skip

    def forward(self, stamps: Tensor, features: Tensor) -> Tensor:
        """Return logits (N, classes) of stamps (N, 3, 21, 21) and features (N, features)."""
        turned = [torch.rot90(stamps, turns, (2, 3)) for turns in range(4 if self.cyclic else 1)]
        codes = self.trunk(torch.cat(turned)).reshape(len(turned), len(stamps), HIDDEN)
        logits: Tensor = self.head(torch.cat([codes.mean(0), self.norm(features)], dim=1))
        return logits
