"""The baseline of the course: a convolutional autoencoder of the stamps, a GRU along the light curve, one classifier.

Given is no more than that: a code of 128 numbers for the stamps, a GRU, a classifier that reads both. Sizes
of the layers, whole stamps as our own networks see them, and training all of it at once are ours.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fulgor.models.baselines.recurrence import last_state
from fulgor.models.layout import COLUMNS

__all__ = ["CODE", "AutoencoderGru", "rebuilt_and_classified"]

CODE: Final = 128
"""Numbers that stand for the stamps."""

HIDDEN: Final = 64
WEIGHT: Final = 1.0
"""Of the squared error of a pixel, against the cross-entropy; pixels are of order 1."""


class AutoencoderGru(nn.Module):
    """Three convolutions of stride 2 and back, 880,072 weights with a GRU of 64 and a classifier of five classes.

    Parameters
    ----------
    classes : int
        Classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.Conv2d(32, 64, 3, 2), nn.ReLU(),
            nn.Flatten(), nn.Linear(64 * 7 * 7, CODE),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(CODE, 64 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)),
            nn.ConvTranspose2d(64, 32, 3, 2), nn.ReLU(), nn.ConvTranspose2d(32, 16, 3, 2), nn.ReLU(),
            nn.ConvTranspose2d(16, 3, 3, 2),
        )  # fmt: skip
        self.cell = nn.GRUCell(COLUMNS, HIDDEN)
        self.head = nn.Sequential(
            nn.Linear(CODE + HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(0.5), nn.Linear(HIDDEN, classes)
        )

    def forward(self, stamps: Tensor, steps: Tensor, held: Tensor) -> Tensor:
        """Return logits (N, classes) of stamps (N, 3, 63, 63), light curves (N, L, 8) and their masks (N, L)."""
        return self.told(self.encoder(stamps), steps, held)

    def told(self, code: Tensor, steps: Tensor, held: Tensor) -> Tensor:
        """Return logits of the codes (N, 128) of stamps, and light curves."""
        logits: Tensor = self.head(torch.cat([code, last_state(self.cell, steps, held)], dim=1))
        return logits


def rebuilt_and_classified(network: nn.Module, seen: tuple[Tensor, ...], labels: Tensor) -> Tensor:
    """Return the mean squared error of the rebuilt pixels and the cross-entropy; an :data:`Objective`."""
    assert isinstance(network, AutoencoderGru)  # noqa: S101 - the objective of this network alone
    stamps, steps, held = seen
    code = network.encoder(stamps)
    rebuilt = F.mse_loss(network.decoder(code), stamps)
    return WEIGHT * rebuilt + F.cross_entropy(network.told(code, steps, held), labels)
