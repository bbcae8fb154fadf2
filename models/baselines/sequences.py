"""Networks along a sequence of pictures: conv + LSTM, and the Temporal Stamp Classifier.

Both read what :class:`fulgor.models.baselines.views.ImageSequences` gives. A packet holds the stamps of one
detection, so pictures of earlier ones are there only where the data set holds their alerts; the papers had
them all. Written from descriptions; sizes of the layers are ours.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from fulgor.models.baselines.recurrence import last_state
from fulgor.models.layout import AHEAD, COLUMNS

__all__ = ["ConvLstm", "TemporalStamps"]

CODE: Final = 64
HIDDEN: Final = 64
DROPOUT: Final = 0.5


def _trunk() -> nn.Sequential:
    """Return what makes a code of one detection's stamps (n, 3, 21, 21)."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(64 * 4 * 4, CODE), nn.ReLU(),
    )  # fmt: skip


def _head(inputs: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, classes))


def _codes(trunk: nn.Module, images: Tensor, seen: Tensor, absent: Tensor) -> Tensor:
    """Return the codes (N, L, code) of pictures; only those that are there are computed."""
    there = seen > 0
    codes = absent.expand(*seen.shape, CODE).clone()
    codes[there] = trunk(images[there])
    return codes


class ConvLstm(nn.Module):
    """Conv + LSTM along the pictures (Carrasco-Davis et al. 2019, PASP 131 108006, arXiv:1807.03869).

    Theirs: the same convolutions for each picture of a sequence, an LSTM along it, no light curve and no
    metadata, trained on simulated sequences and fine-tuned on real ones. Theirs saw science images of one
    band without a difference; ours the three stamps of each alert, and beside each the time before the
    last (logarithm of days). 127,205 weights with five classes.

    Parameters
    ----------
    classes : int
        Classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.trunk = _trunk()
        self.cell = nn.LSTMCell(CODE + 1, HIDDEN)
        self.head = _head(HIDDEN, classes)

    def forward(self, images: Tensor, seen: Tensor, steps: Tensor, held: Tensor, metadata: Tensor) -> Tensor:  # noqa: ARG002
        """Return logits (N, classes) of pictures (N, L, 3, 21, 21); what the light curve measured is not read."""
        codes = _codes(self.trunk, images, seen, images.new_zeros(CODE))
        timed = torch.cat([codes, steps[..., AHEAD : AHEAD + 1]], dim=2)
        logits: Tensor = self.head(last_state(self.cell, timed, seen))
        return logits


class TemporalStamps(nn.Module):
    """The Temporal Stamp Classifier (Neira et al. 2024, arXiv:2405.15073).

    Theirs: convolutions for the stamps of each of 2 to 5 detections, beside metadata of the alert, a
    recurrence along them, features of AllWISE, the classes AGN, SN and VS, stamps turned at random.
    Ours has no AllWISE. An earlier detection whose stamps are not known has a learnt code instead, and each
    comes with its photometry (the step of the light curve); the 23 metadata are those of the last alert.
    The recurrence is a GRU: they found simple ones as good as an LSTM. 121,617 weights with three classes.

    Parameters
    ----------
    features, classes : int
        Metadata features and classes.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.trunk = _trunk()
        self.absent = nn.Parameter(torch.zeros(CODE))
        self.cell = nn.GRUCell(CODE + COLUMNS, HIDDEN)
        self.norm = nn.BatchNorm1d(features)
        self.head = _head(HIDDEN + features, classes)

    def forward(self, images: Tensor, seen: Tensor, steps: Tensor, held: Tensor, metadata: Tensor) -> Tensor:
        """Return logits (N, classes) of pictures (N, L, 3, 21, 21), photometry (N, L, 8) and metadata."""
        codes = _codes(self.trunk, images, seen, self.absent)
        state = last_state(self.cell, torch.cat([codes, steps], dim=2), held)
        logits: Tensor = self.head(torch.cat([state, self.norm(metadata)], dim=1))
        return logits
