"""The LEELA network: a window's convolutions and spectrum, recurrence over a chunk's pulses, decoder and classifier."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fulgor.errors import ModelError
from fulgor.models.leela.layers import Cell, Decoder, Spectrum, Waveform
from fulgor.models.leela.layout import CLASSES, LATENT, LOG_AMPLITUDE, PULSES, SCALARS, WINDOW
from fulgor.models.scores.distance import ClassDistance

__all__ = ["LOUDEST", "Architecture", "LeelaNetwork", "PulseOutputs", "flank_noise"]

MODEL_ERROR = 0.05
"""Residuals of this part of a pulse's peak count as no worse than noise."""

LOUDEST = 0.3
"""Flanks that are louder, as part of the pulse's peak, are no noise: of noise alone the loudest stretch of a chunk
stands out threefold. A transmitter that fills the window would excuse whatever the decoder makes of it."""

FAINTEST = 1e-3
"""Of a blank window, whose noise has no logarithm."""

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
    loudest : float or None
        What the score ``reconstruction`` takes for noise at most; None in models that took any.
    """

    width: int = 12
    hidden: int = 40
    latent: int = LATENT
    classes: tuple[str, ...] = CLASSES
    loudest: float | None = LOUDEST

    @classmethod
    def from_card(cls, fields: dict[str, Any]) -> Architecture:
        """Return the architecture that a card describes.

        Raises
        ------
        ModelError
            A field is missing, unknown or of the wrong kind.
        """
        try:
            return cls(**{"loudest": None, **fields, "classes": tuple(fields["classes"])})
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
        self.waveform = Waveform(a.width)
        self.spectrum = Spectrum()
        self.embed = nn.Linear(4 * a.width * WINDOW // 32 + 16 * 16, a.latent)
        self.decoder = Decoder(a.latent, a.width)
        self.step = nn.Sequential(nn.Linear(a.latent + SCALARS, a.latent), nn.SiLU())
        self.forwards = Cell(a.latent, a.hidden)
        self.backwards = Cell(a.latent, a.hidden)
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
    def _run(cell: Cell, steps: Tensor, present: Tensor, order: range) -> Tensor:
        state = present[:, 0] * steps.new_zeros(cell.hidden)
        states: dict[int, Tensor] = {}
        for index in order:
            here = present[:, index]
            state = here * cell(steps[:, index], state) + (1 - here) * state
            states[index] = state
        return torch.stack([states[index] for index in range(PULSES)], dim=1)

    def misfit(self, codes: Tensor, windows: Tensor, noise: Tensor) -> Tensor:
        """Return the mean squared residual (M,) of rebuilt windows, in units of their noise and the model's error.

        Parameters
        ----------
        codes, windows : Tensor
            (M, latent) and (M, 2, 256).
        noise : Tensor
            (M,), of the window itself, not of its chunk: a pulse then has one score wherever in a chunk it lies.
        """
        window, inside = windows[:, 0], windows[:, 1]
        variance = noise.unsqueeze(1) ** 2 + MODEL_ERROR**2
        residual = (self.decoder(codes) - window) ** 2 / variance * inside
        mean: Tensor = residual.sum(1) / inside.sum(1).clamp(min=1.0)
        return mean

    def reconstruction(self, codes: Tensor, windows: Tensor, noise: Tensor) -> Tensor:
        """Return the score of that name (M,): the logarithm of the misfit, with no noise above the loudest."""
        loudest = self.architecture.loudest
        return torch.log(self.misfit(codes, windows, noise if loudest is None else noise.clamp(max=loudest)))

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
        shown = windows[chosen].flatten(0, 1)
        flanks = flank_noise(shown)
        rebuilt = self.reconstruction(own.flatten(0, 1), shown, flanks).reshape(place.shape)
        distance = self.distance(latents.flatten(0, 1)).reshape(place.shape)
        noise = torch.log(flanks.clamp(min=FAINTEST)).reshape(place.shape) + scalars[..., LOG_AMPLITUDE]
        probabilities = torch.softmax(self.logits(latents) / self.temperature, dim=2)
        return PulseOutputs(latents, own, probabilities, torch.stack([rebuilt, distance, noise], dim=2))
