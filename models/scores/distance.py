"""How far an object lies from every class it could belong to."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fulgor.errors import ModelError

__all__ = ["ClassDistance", "defined"]

SHRINKAGE = 0.05
"""Part of the covariance that is replaced by a multiple of the identity, so that it can be inverted."""

FEWEST = 2
"""A class with fewer members than this gets no centre."""


def defined(score: Tensor, support: Tensor) -> Tensor:
    """Return the score, NaN where its support is 0: a score that cannot be computed is not invented."""
    return torch.where(support > 0, score, torch.full_like(score, torch.nan))


class ClassDistance(nn.Module):
    """Squared Mahalanobis distance to the nearest class centre, with one covariance for all classes.

    The covariance within the classes is shared (Lee et al. 2018, arXiv:1807.03888) and shrunk towards
    a multiple of the identity.

    Parameters
    ----------
    latent, classes : int
        Length of the latent and number of classes.
    """

    centres: Tensor
    whitening: Tensor

    def __init__(self, latent: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(classes, latent))
        self.register_buffer("whitening", torch.eye(latent))

    @torch.no_grad()
    def fit(self, latents: Tensor, labels: Tensor) -> None:
        """Place centres and covariance.

        Parameters
        ----------
        latents : Tensor
            (N, latent).
        labels : Tensor
            int64 (N,); negative ones are left out.

        Raises
        ------
        ModelError
            No class has two members.
        """
        members = [latents[labels == number].double() for number in range(len(self.centres))]
        present = [group for group in members if len(group) >= FEWEST]
        if not present:
            raise ModelError("no class has two labelled training alerts, so no class centre can be placed")
        within = torch.cat([group - group.mean(0) for group in present])
        covariance = within.T @ within / len(within)
        size = len(covariance)
        spread = covariance.diagonal().mean().clamp(min=1e-12)
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * spread * torch.eye(size, dtype=torch.float64)
        whitening = torch.linalg.cholesky(torch.linalg.inv(covariance))
        # A class without members must never be the nearest: its centre goes where no latent comes.
        far = torch.full((size,), 1e6, dtype=torch.float64)
        centres = torch.stack([group.mean(0) @ whitening if len(group) >= FEWEST else far for group in members])
        self.whitening.copy_(whitening)
        self.centres.copy_(centres)

    def forward(self, latents: Tensor) -> Tensor:
        """Return the distance (N,) of latents (N, latent)."""
        offset = (latents @ self.whitening).unsqueeze(1) - self.centres
        return (offset**2).sum(2).amin(1)
