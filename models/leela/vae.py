"""The seed's variational autoencoder on periodograms, weight for weight: the baseline that ours is compared with.

Convolutions of 32, 64 and 128 channels (3 x 3, stride 1, same padding) over 13 x 18, a dense layer of 16,
three latent numbers; back through a dense layer and transposed convolutions of 128, 64, 32 channels and one. 572,022
weights up, 359,937 down, 931,959 together. Loss: mean squared error times 234 (the pixels) plus the
divergence from a unit normal.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LATENT", "SHAPE", "SeedVae", "fit_vae", "vae_loss"]

SHAPE = (13, 18)
LATENT = 3
_DENSE = 16
_CHANNELS = (32, 64, 128)
_EPSILON = 1e-7  # of Adam in Keras
_WARM_UP = 100  # steps


class SeedVae(nn.Module):
    """Periodograms (N, 1, 13, 18) to three latent numbers and back.

    Parameters
    ----------
    shape : (int, int)
        Frequencies and times; the seed's by default. Another segment length of the periodogram has another.
    """

    def __init__(self, shape: tuple[int, int] = SHAPE) -> None:
        super().__init__()
        pixels = shape[0] * shape[1]
        one, two, three = _CHANNELS
        self.encoder = nn.Sequential(
            nn.Conv2d(1, one, 3, padding=1), nn.ReLU(),
            nn.Conv2d(one, two, 3, padding=1), nn.ReLU(),
            nn.Conv2d(two, three, 3, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(three * pixels, _DENSE), nn.ReLU(),
        )  # fmt: skip
        self.mean, self.log_variance = nn.Linear(_DENSE, LATENT), nn.Linear(_DENSE, LATENT)
        self.decoder = _decoder(shape)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the latents, each (N, 3)."""
        code = self.encoder(images)
        return self.mean(code), self.log_variance(code)

    def forward(self, images: Tensor, random: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return rebuilt images, means and log variances; without `random` the mean itself is decoded."""
        mean, log_variance = self.encode(images)
        latent = mean
        if random is not None:
            latent = mean + torch.exp(0.5 * log_variance) * torch.randn(mean.shape, generator=random)
        return self.decoder(latent), mean, log_variance


def _decoder(shape: tuple[int, int]) -> nn.Sequential:
    """Return three numbers to an image."""
    one, two, three = _CHANNELS
    return nn.Sequential(
        nn.Linear(LATENT, three * shape[0] * shape[1]), nn.ReLU(), nn.Unflatten(1, (three, *shape)),
        nn.ConvTranspose2d(three, three, 3, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(three, two, 3, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(two, one, 3, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(one, 1, 3, padding=1), nn.Sigmoid(),
    )  # fmt: skip


def vae_loss(images: Tensor, rebuilt: Tensor, mean: Tensor, log_variance: Tensor, divergence: float = 1.0) -> Tensor:
    """Return mean squared error times the number of pixels plus the divergence from a unit normal, averaged.

    `divergence` weighs the latter; the seed's is 1. Summed over the pixels, the squared error is that of noise with a
    variance of a half; in linear networks a latent is worth its divergence only along a principal direction in which
    the images' own variance is larger (Lucas et al. 2019, arXiv:1911.02469).
    """
    apart = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
    return F.mse_loss(rebuilt, images) * images[0].numel() + divergence * apart


def fit_vae(
    images: Tensor, *, epochs: int = 50, batch: int = 32, rate: float = 1e-3, divergence: float = 1.0,
    as_written: bool = False, seed: int = 0,
) -> SeedVae:  # fmt: skip
    """Return an autoencoder fitted as the seed's was, but for a soft start: 50 passes in batches of 32, no early stop.

    The seed was written for Keras and left its defaults: weights uniform after Glorot and Bengio (2010), all biases
    zero, Adam (Kingma and Ba 2015) with epsilon 1e-7. `as_written`, that is all, and on periodograms it fails twice:

    - All pixels start at one half and nearly all ought to be zero, so all weights of the decoder pull there together,
      and within a dozen steps they overshoot so far that the sigmoid passes no gradient any more: the image goes out.
      So the last bias starts at the log odds of the mean pixel.
    - Before the decoder heeds the latents, only the divergence and the noise of the draws reach the encoder; they
      switch the 16 rectifiers off for good. So the rate rises over 100 steps, and the divergence over half of the
      passes (Bowman et al. 2016, arXiv:1511.06349).

    Parameters
    ----------
    images : Tensor
        float32 (N, 1, frequencies, times): periodograms, each with a maximum of 1.
    epochs, batch : int
        Passes, and images per step.
    rate : float
        Of Adam.
    divergence : float
        Weight of the divergence at the end, see :func:`vae_loss`; the seed's is 1.
    as_written : bool
        Without the soft start.
    seed : int
        Of weights, order and draws.
    """
    torch.manual_seed(seed)
    network = SeedVae((images.shape[2], images.shape[3]))
    _start(network, 0.5 if as_written else float(images.mean().clamp(1e-3, 1 - 1e-3)))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster, same sums
    random = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, eps=_EPSILON)
    passing = math.ceil(len(images) / batch)
    for step in range(epochs * passing):
        if step % passing == 0:
            order = torch.randperm(len(images), generator=random)
        chosen = images[order[step % passing * batch :][:batch]]
        optimiser.param_groups[0]["lr"] = rate if as_written else rate * min(1.0, (step + 1) / _WARM_UP)
        weight = divergence if as_written else divergence * min(1.0, 2 * step / (epochs * passing))
        rebuilt, mean, log_variance = network(chosen, random)
        loss = vae_loss(chosen, rebuilt, mean, log_variance, weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network.eval().requires_grad_(False)


def _start(network: SeedVae, level: float) -> None:
    """Set weights as Keras does by default, and the last bias so that an image starts at `level`."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    nn.init.constant_(network.decoder[-2].bias, math.log(level / (1 - level)))  # type: ignore[arg-type]
