"""The LEELA network: a window's convolutions and spectrum, recurrence over a chunk's pulses, decoder and classifier."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fulgor.errors import ModelError
from fulgor.models.leela.layout import CLASSES, LATENT, PULSES, SCALARS, WINDOW
from fulgor.models.scores.distance import ClassDistance

__all__ = ["Architecture", "LeelaNetwork", "PulseOutputs", "flank_noise"]

SEGMENT, STEP = 64, 16
"""Of the time-frequency branch, samples."""

BINS = slice(1, 14)
"""Frequencies of the time-frequency branch: 1.7 to 22 kHz."""

QUIET = 1e-3
"""Added to power before its logarithm: 30 dB below a pulse."""

MODEL_ERROR = 0.05
"""Residuals of this part of a pulse's peak count as no worse than noise."""

FLANK = 64
"""Samples at either end of a window that tell its noise: the pulse, in the middle, has died down there."""

NORMAL_MEDIAN = 0.6745
"""Median of the modulus of a standard normal variable."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything that fixes the shape of the weights.

    Parameters
    ----------
    width : int
        Channels of the first convolution.
    hidden : int
        Recurrent state in either direction.
    latent : int
        Length of both latents.
    classes : tuple of str
        Names of the classes.
    """

    width: int = 12
    hidden: int = 40
    latent: int = LATENT
    classes: tuple[str, ...] = CLASSES

    @classmethod
    def from_card(cls, fields: dict[str, Any]) -> Architecture:
        """Return the architecture that a card describes.

        Raises
        ------
        ModelError
            A field is missing, unknown or of the wrong kind.
        """
        try:
            return cls(**{**fields, "classes": tuple(fields["classes"])})
        except (KeyError, TypeError) as error:
            raise ModelError(f"the card's architecture cannot be read ({error}); export the model again") from error

    def to_card(self) -> dict[str, Any]:
        """Return the same as JSON values."""
        return {**asdict(self), "classes": list(self.classes)}


class PulseOutputs(NamedTuple):
    """What the served graph returns, a row for each pulse; see :data:`fulgor.models.leela.layout.OUTPUTS`."""

    latent: Tensor
    pulse_latent: Tensor
    probabilities: Tensor
    scores: Tensor


class _Waveform(nn.Sequential):
    """Strided convolutions along a window: (M, 2, 256) to (M, 4 width * 8)."""

    def __init__(self, width: int) -> None:
        channels = (2, width, 2 * width, 3 * width, 4 * width, 4 * width)
        layers: list[nn.Module] = []
        for ins, outs, kernel in zip(channels, channels[1:], (9, 7, 5, 5, 5), strict=False):
            layers += [nn.Conv1d(ins, outs, kernel, stride=2, padding=kernel // 2), nn.BatchNorm1d(outs), nn.SiLU()]
        super().__init__(*layers, nn.Flatten())


class _Spectrum(nn.Module):
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
        waves = torch.nn.functional.conv1d(window, self.kernels, stride=STEP)
        cosine, sine = waves.chunk(2, dim=1)
        features: Tensor = self.layers(torch.log(cosine**2 + sine**2 + QUIET).unsqueeze(1))
        return features


class _Decoder(nn.Module):
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
        start = self.start(latent).unflatten(1, (-1, WINDOW // 8))
        window: Tensor = self.layers(start).squeeze(1)
        return window


class _Cell(nn.Module):
    """A gated recurrent unit, spelled out: the exporter would fix the batch size of torch's own."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.given = nn.Linear(inputs, 3 * hidden)
        self.kept = nn.Linear(hidden, 3 * hidden)

    def forward(self, step: Tensor, state: Tensor) -> Tensor:
        reset, update, new = self.given(step).chunk(3, dim=1)
        reset_kept, update_kept, new_kept = self.kept(state).chunk(3, dim=1)
        gate = torch.sigmoid(update + update_kept)
        proposed = torch.tanh(new + torch.sigmoid(reset + reset_kept) * new_kept)
        return (1 - gate) * proposed + gate * state


def flank_noise(windows: Tensor) -> Tensor:
    """Return the noise (M,) of windows (M, 2, 256): their flanks' median modulus, as a standard deviation.

    Where an edge has taken so much of a window that nothing is left of its flanks, it is 0.
    """
    flanks = torch.cat([windows[:, :, :FLANK], windows[:, :, -FLANK:]], dim=2)
    inside = flanks[:, 1] > 0
    ordered = torch.sort(torch.where(inside, flanks[:, 0].abs(), 1e9), dim=1).values
    middle = torch.div(inside.sum(1), 2, rounding_mode="floor")
    median = ordered.gather(1, middle.unsqueeze(1)).squeeze(1)
    return torch.where(inside.any(1), median / NORMAL_MEDIAN, 0.0)


class LeelaNetwork(nn.Module):
    """Convolutional and recurrent autoencoder and classifier of pulses.

    Parameters
    ----------
    architecture : Architecture
        Sizes.
    """

    scalar_mean: Tensor
    scalar_std: Tensor
    temperature: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.waveform = _Waveform(a.width)
        self.spectrum = _Spectrum()
        self.embed = nn.Linear(4 * a.width * WINDOW // 32 + 16 * 16, a.latent)
        self.decoder = _Decoder(a.latent, a.width)
        self.step = nn.Sequential(nn.Linear(a.latent + SCALARS, a.latent), nn.SiLU())
        self.forwards = _Cell(a.latent, a.hidden)
        self.backwards = _Cell(a.latent, a.hidden)
        self.join = nn.Linear(a.latent + 2 * a.hidden, a.latent)
        self.classifier = nn.Linear(a.latent, len(a.classes))
        self.distance = ClassDistance(a.latent, len(a.classes))
        self.register_buffer("scalar_mean", torch.zeros(SCALARS))
        self.register_buffer("scalar_std", torch.ones(SCALARS))
        self.register_buffer("temperature", torch.ones(()))

    def encode(self, windows: Tensor) -> Tensor:
        """Return the latents (M, latent) of windows (M, 2, 256), each from its window alone."""
        shape, spectrum = self.waveform(windows), self.spectrum(windows[:, :1])
        latent: Tensor = self.embed(torch.cat([shape, spectrum], dim=1))
        return latent

    def relate(self, codes: Tensor, scalars: Tensor, place: Tensor) -> Tensor:
        """Return the latents (N, 8, latent) of pulses that know their chunk's other pulses.

        Parameters
        ----------
        codes : Tensor
            (M, latent), from :meth:`encode`.
        scalars, place : Tensor
            As in :data:`fulgor.models.leela.layout.INPUTS`.
        """
        present = (place >= 0).unsqueeze(2).to(codes.dtype)
        ordered = codes[place.clamp(min=0)] * present
        scaled = ((scalars - self.scalar_mean) / self.scalar_std).clamp(-5.0, 5.0) * present
        steps = self.step(torch.cat([ordered, scaled], dim=2))
        ahead = self._run(self.forwards, steps, present, range(PULSES))
        behind = self._run(self.backwards, steps, present, range(PULSES - 1, -1, -1))
        related: Tensor = self.join(torch.cat([steps, ahead, behind], dim=2)) * present
        return related

    @staticmethod
    def _run(cell: _Cell, steps: Tensor, present: Tensor, order: range) -> Tensor:
        state = present[:, 0] * steps.new_zeros(cell.hidden)
        states: dict[int, Tensor] = {}
        for index in order:
            here = present[:, index]
            state = here * cell(steps[:, index], state) + (1 - here) * state
            states[index] = state
        return torch.stack([states[index] for index in range(PULSES)], dim=1)

    def misfit(self, codes: Tensor, windows: Tensor) -> Tensor:
        """Return the mean squared residual (M,) of rebuilt windows, in units of their noise and the model's error.

        The noise is the window's own, not the chunk's: a pulse then has the same score wherever in a chunk it lies.
        """
        window, inside = windows[:, 0], windows[:, 1]
        variance = flank_noise(windows).unsqueeze(1) ** 2 + MODEL_ERROR**2
        residual = (self.decoder(codes) - window) ** 2 / variance * inside
        mean: Tensor = residual.sum(1) / inside.sum(1).clamp(min=1.0)
        return mean

    def logits(self, latents: Tensor) -> Tensor:
        """Return the uncalibrated logits of latents (..., latent)."""
        found: Tensor = self.classifier(latents)
        return found

    def forward(self, windows: Tensor, scalars: Tensor, place: Tensor) -> PulseOutputs:
        """Return latents, calibrated probabilities and scores of every pulse."""
        codes = self.encode(windows)
        latents = self.relate(codes, scalars, place)
        chosen = place.clamp(min=0)
        own = codes[chosen]
        misfit = torch.log(self.misfit(own.flatten(0, 1), windows[chosen].flatten(0, 1))).reshape(place.shape)
        distance = self.distance(latents.flatten(0, 1)).reshape(place.shape)
        probabilities = torch.softmax(self.logits(latents) / self.temperature, dim=2)
        return PulseOutputs(latents, own, probabilities, torch.stack([misfit, distance], dim=2))
