"""VaDE, variational deep embedding (Jiang et al. 2017, IJCAI, arXiv:1611.05148): clusters without labels.

Astorga et al. 2018 use it on stamps of transients. Theirs: the layers D-500-500-2000-10 and back, the prior
of Gaussians, the bound, pre-training as an autoencoder, the start from a mixture fitted to its codes. Ours:
stamps as ALeRCE prepares them, the autoencoder trained at once instead of layer by layer, and a variance of the
codes that starts small.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

import torch
from sklearn.mixture import GaussianMixture  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn import functional as F

from fulgor.models.baselines.deep_hits import SIZE

__all__ = ["LATENT", "Vade", "bound", "rebuilt", "start"]

LATENT: Final = 10
PIXELS: Final = 3 * SIZE**2
LAYERS: Final = (PIXELS, 500, 500, 2000)
START: Final = -4.0
"""Logarithm of a code's variance before training."""


class Vade(nn.Module):
    """3,890,448 weights with five clusters.

    Parameters
    ----------
    clusters : int
        Gaussians of the prior.
    """

    def __init__(self, clusters: int) -> None:
        super().__init__()
        self.encoder = _layers(LAYERS)
        self.mean, self.log_variance = (nn.Linear(LAYERS[-1], LATENT) for _ in range(2))
        # The autoencoder's codes spread over less than 1: noise of that size would drown what it has learnt.
        nn.init.constant_(self.log_variance.bias, START)
        self.decoder = nn.Sequential(_layers((LATENT, *LAYERS[:0:-1])), nn.Linear(LAYERS[1], PIXELS))
        self.weights = nn.Parameter(torch.zeros(clusters))
        self.centres = nn.Parameter(torch.zeros(clusters, LATENT))
        self.log_spreads = nn.Parameter(torch.zeros(clusters, LATENT))

    def encode(self, stamps: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance (N, 10) of the codes of stamps (N, 3, 21, 21)."""
        hidden = self.encoder(stamps.flatten(1))
        return self.mean(hidden), self.log_variance(hidden)

    def log_joint(self, code: Tensor) -> Tensor:
        """Return log p(c) p(z | c), (N, clusters), of codes (N, 10)."""
        gaps = (code.unsqueeze(1) - self.centres) ** 2 / self.log_spreads.exp()
        density = -0.5 * (gaps + self.log_spreads + math.log(2 * math.pi)).sum(2)
        return density + torch.log_softmax(self.weights, dim=0)

    def forward(self, stamps: Tensor) -> Tensor:
        """Return the logarithm of each cluster's responsibility (N, clusters), at the mean code."""
        return torch.log_softmax(self.log_joint(self.encode(stamps)[0]), dim=1)


def _layers(sizes: tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(*(layer for one, two in pairwise(sizes) for layer in (nn.Linear(one, two), nn.ReLU())))


def rebuilt(network: nn.Module, seen: tuple[Tensor, ...], labels: Tensor) -> Tensor:  # noqa: ARG001
    """Return how badly stamps are rebuilt from their mean codes, nats per alert; an ``Objective``."""
    assert isinstance(network, Vade)  # noqa: S101 - the objective of this network alone
    (stamps,) = seen
    return _misfit(network, network.encode(stamps)[0], stamps)


def bound(network: nn.Module, seen: tuple[Tensor, ...], labels: Tensor) -> Tensor:  # noqa: ARG001
    """Return the negative evidence lower bound, nats per alert, by one draw of each code; an ``Objective``."""
    assert isinstance(network, Vade)  # noqa: S101 - the objective of this network alone
    (stamps,) = seen
    mean, log_variance = network.encode(stamps)
    code = mean + torch.randn_like(mean) * (log_variance / 2).exp()
    share = torch.softmax(network.log_joint(code), dim=1)
    # E[log p(z | c)] over q(z | x): the Gaussians at the mean, less half the variance in units of theirs.
    spread = 0.5 * (log_variance.exp().unsqueeze(1) / network.log_spreads.exp()).sum(2)
    prior = (share * (network.log_joint(mean) - spread - share.clamp(min=1e-12).log())).sum(1)
    entropy = 0.5 * (log_variance + 1 + math.log(2 * math.pi)).sum(1)
    return _misfit(network, code, stamps) - (prior + entropy).mean()


def _misfit(network: Vade, code: Tensor, stamps: Tensor) -> Tensor:
    told = network.decoder(code)
    return F.binary_cross_entropy_with_logits(told, stamps.flatten(1), reduction="none").sum(1).mean()


@torch.no_grad()
def start(network: Vade, stamps: Tensor, seed: int) -> None:
    """Set the prior, in place, to a mixture of Gaussians with diagonal covariances, fitted to the mean codes."""
    codes = network.encode(stamps)[0].double().numpy()
    mixture = GaussianMixture(len(network.weights), covariance_type="diag", random_state=seed, n_init=5).fit(codes)
    for part, value in (
        (network.weights, mixture.weights_.clip(1e-6)),
        (network.log_spreads, mixture.covariances_),
    ):
        part.copy_(torch.from_numpy(value).log())
    network.centres.copy_(torch.from_numpy(mixture.means_))
