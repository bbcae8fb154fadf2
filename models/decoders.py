"""What rebuilds the input from the latents, and by how much it fails.

Both decoders see nothing but a latent: a connection past the bottleneck would let anomalies leak
through. The stamp latent does not know how the stamps were turned, so the decoder draws them in an
orientation of its own, and the error is the least over the eight.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fulgor.models.encoder import central_crop
from fulgor.models.images import STAMPS, ImageChoice
from fulgor.models.layout import AHEAD, BANDS, DETECTION, LOG_ERROR, MAGNITUDE
from fulgor.models.symmetry import ORDER, orbit_index

__all__ = ["SequenceDecoder", "StampDecoder", "history_detections"]

VIEW = 31
"""Pixels rebuilt about the centre: further out lie other stars, which no 64 numbers can place."""

SOURCE_WIDTH = 6.0
"""Pixels (1 sigma) over which a pixel's weight falls from the source outwards ..."""

FIELD_WEIGHT = 0.1
"""... to this."""

MAGNITUDE_SCALE = 2.0
"""Magnitudes per unit of the sequence's magnitude column."""

ERROR_SCALE = 2.0
"""Natural logarithms per unit of the sequence's error column."""

SOFTENING = 0.1
"""Magnitudes added in quadrature to a point's error: what no smooth curve follows."""


class StampDecoder(nn.Module):
    """Rebuild the centre of the images that the encoder is shown, from the stamp latent.

    Parameters
    ----------
    latent : int
        Length of the stamp latent.
    size : int
        Stamp size of the network; at most :data:`VIEW` pixels of it are rebuilt.
    channels : int
        Channels of the first map.
    images : sequence of str
        What the encoder is shown.
    """

    weight: Tensor
    orbit: Tensor

    def __init__(self, latent: int, size: int, channels: int = 32, images: Sequence[str] = STAMPS) -> None:
        super().__init__()
        self.view = min(size, VIEW)
        self.choice = ImageChoice(images)
        self.channels = channels
        self.seed = nn.Linear(latent, channels * 9)
        self.grow = nn.Sequential(  # 3-7-15-31
            nn.ReLU(),
            nn.ConvTranspose2d(channels, channels, 3, 2),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, channels // 2, 3, 2),
            nn.ReLU(),
            nn.ConvTranspose2d(channels // 2, len(self.choice), 3, 2),
        )
        axis = torch.arange(self.view) - (self.view - 1) / 2
        radius2 = axis[:, None] ** 2 + axis[None, :] ** 2
        weight = FIELD_WEIGHT + (1 - FIELD_WEIGHT) * torch.exp(-radius2 / (2 * SOURCE_WIDTH**2))
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("orbit", orbit_index(self.view).flatten(), persistent=False)

    def forward(self, latent: Tensor) -> Tensor:
        """Return images (N, images, view, view) in the decoder's own orientation."""
        maps = self.seed(latent).reshape(-1, self.channels, 3, 3)
        return central_crop(self.grow(maps), self.view)

    def errors(self, latent: Tensor, stamps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Return the error of each orientation.

        One group element turns all three stamps; the mask stays in the frame of the input.

        Parameters
        ----------
        latent : Tensor
            (N, latent).
        stamps, masks : Tensor
            (N, 3, H, H).

        Returns
        -------
        errors : Tensor
            (N, 8): weighted mean pseudo-Huber loss over the valid pixels.
        weight : Tensor
            (N,): sum of the weights; 0 where no pixel is valid, and the errors mean nothing.
        """
        # Pixels lead, so that turning the stamps moves whole rows: four times faster than along the last axis.
        rebuilt = _pixels_first(self(latent))[self.orbit].reshape(ORDER, self.view**2, -1, len(self.choice))
        images, valid = self.choice(stamps, masks)
        seen = _pixels_first(central_crop(images, self.view))
        weights = _pixels_first(central_crop(valid, self.view) * self.weight)
        loss = torch.sqrt((rebuilt - seen) ** 2 + 1.0) - 1.0
        total = weights.sum((0, 2))
        summed = (loss * weights).sum((1, 3))
        return (summed / total.clamp(min=1e-6)).T, total


def _pixels_first(images: Tensor) -> Tensor:
    """Return (N, C, H, H) as (H * H, N, C)."""
    return images.flatten(2).permute(2, 0, 1)


class SequenceDecoder(nn.Module):
    """Predict the magnitude at any time and band from the object latent.

    Parameters
    ----------
    latent : int
        Length of the object latent.
    hidden : int
        Width of the hidden layers.
    """

    def __init__(self, latent: int, hidden: int = 64) -> None:
        super().__init__()
        self.known = nn.Linear(latent, hidden)
        self.asked = nn.Linear(3, hidden)
        self.answer = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1))

    def forward(self, latent: Tensor, sequence: Tensor) -> Tensor:
        """Return magnitudes (N, L), in units of the magnitude column, for the steps' times and bands."""
        asked = torch.cat([sequence[:, :, AHEAD : AHEAD + 1], sequence[:, :, BANDS]], dim=2)
        answer: Tensor = self.answer(self.known(latent).unsqueeze(1) + self.asked(asked))
        return answer.squeeze(2)

    def deviations(self, latent: Tensor, sequence: Tensor) -> Tensor:
        """Return (observed - predicted) / error of every step, (N, L); only detections mean anything."""
        error = torch.exp(ERROR_SCALE * sequence[:, :, LOG_ERROR])
        spread = torch.sqrt(error**2 + SOFTENING**2)
        predicted: Tensor = self(latent, sequence)
        residual = MAGNITUDE_SCALE * (sequence[:, :, MAGNITUDE] - predicted)
        return residual / spread

    def chi_square(self, latent: Tensor, sequence: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean squared deviation over the detections before the alert, and their number.

        The alert's own magnitude is among the features, so rebuilding it would prove nothing.
        """
        used = history_detections(sequence, mask)
        count = used.sum(1)
        summed = (used * self.deviations(latent, sequence) ** 2).sum(1)
        return summed / count.clamp(min=1.0), count


def history_detections(sequence: Tensor, mask: Tensor) -> Tensor:
    """Return 1.0 for the detections before the alert itself, else 0.0: (N, L)."""
    used = mask * sequence[:, :, DETECTION]
    return torch.cat([used[:, :-1], torch.zeros_like(used[:, -1:])], dim=1)
