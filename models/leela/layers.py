"""Parts of the LEELA network: what sees a window, what draws one, and what remembers a chunk's pulses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fulgor.models.leela.layout import WINDOW

__all__ = ["Cell", "Decoder", "Spectrum", "Waveform"]

SEGMENT, STEP = 64, 16
"""Of the time-frequency branch, samples."""

BINS = slice(1, 14)
"""Frequencies of the time-frequency branch: 1.7 to 22 kHz."""

QUIET = 1e-3
"""Added to power before its logarithm: 30 dB below a pulse."""


class Waveform(nn.Sequential):
    """Strided convolutions along a window: (M, 2, 256) to (M, 4 width * 8)."""

    def __init__(self, width: int) -> None:
        channels = (2, width, 2 * width, 3 * width, 4 * width, 4 * width)
        layers: list[nn.Module] = []
        for ins, outs, kernel in zip(channels, channels[1:], (9, 7, 5, 5, 5), strict=False):
            layers += [nn.Conv1d(ins, outs, kernel, stride=2, padding=kernel // 2), nn.BatchNorm1d(outs), nn.SiLU()]
        super().__init__(*layers, nn.Flatten())


class Spectrum(nn.Module):
    """Log power of short segments, by fixed convolutions, then convolutions over it: (M, 1, 256) to (M, 256)."""

    kernels: Tensor

    def __init__(self) -> None:
        super().__init__()
        angle = 2 * np.pi * np.outer(np.arange(SEGMENT // 2 + 1)[BINS], np.arange(SEGMENT)) / SEGMENT
        taper = np.hanning(SEGMENT)
        waves = np.concatenate([np.cos(angle), np.sin(angle)]) * taper / taper.sum()
        self.register_buffer("kernels", torch.from_numpy(waves[:, None]).float())
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.SiLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.SiLU(),
            nn.Flatten(),
        )  # fmt: skip

    def forward(self, window: Tensor) -> Tensor:
        """Return the features (M, 256) of windows (M, 1, 256)."""
        waves = torch.nn.functional.conv1d(window, self.kernels, stride=STEP)
        cosine, sine = waves.chunk(2, dim=1)
        features: Tensor = self.layers(torch.log(cosine**2 + sine**2 + QUIET).unsqueeze(1))
        return features


class Decoder(nn.Module):
    """A latent to a window: (M, latent) to (M, 256)."""

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.start = nn.Linear(latent, width * WINDOW // 8)
        self.layers = nn.Sequential(
            nn.SiLU(), nn.ConvTranspose1d(width, width, 4, 2, 1),
            nn.SiLU(), nn.ConvTranspose1d(width, width // 2, 4, 2, 1),
            nn.SiLU(), nn.ConvTranspose1d(width // 2, 1, 4, 2, 1),
        )  # fmt: skip

    def forward(self, latent: Tensor) -> Tensor:
        """Return the windows (M, 256) of latents (M, latent)."""
        start = self.start(latent).unflatten(1, (-1, WINDOW // 8))
        window: Tensor = self.layers(start).squeeze(1)
        return window


class Cell(nn.Module):
    """A gated recurrent unit, spelled out: the exporter would fix the batch size of torch's own."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.given = nn.Linear(inputs, 3 * hidden)
        self.kept = nn.Linear(hidden, 3 * hidden)

    def forward(self, step: Tensor, state: Tensor) -> Tensor:
        """Return the next state (N, hidden) after a step (N, inputs)."""
        reset, update, new = self.given(step).chunk(3, dim=1)
        reset_kept, update_kept, new_kept = self.kept(state).chunk(3, dim=1)
        gate = torch.sigmoid(update + update_kept)
        proposed = torch.tanh(new + torch.sigmoid(reset + reset_kept) * new_kept)
        return (1 - gate) * proposed + gate * state
