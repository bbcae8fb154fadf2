"""Metadata to a code that no single odd value can upset.

Each feature is written as its place among its training values: one number per bin between two
quantiles, 0 below the bin, 1 above, linear inside (piecewise linear encoding, Gorishniy et al. 2022,
arXiv:2203.05556). So a network sees ranks, as trees do, whatever the feature's unit or tail.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["BINS", "MetadataEncoder"]

BINS = 8
"""Bins of each feature."""

NARROWEST = 1e-3
"""Width of a bin at least, as a part of the feature's range: equal quantiles make a step, not a pole."""


class MetadataEncoder(nn.Module):
    """The features of an alert to a code.

    Parameters
    ----------
    features : int
        F, number of features.
    code : int
        Length of the code.
    ignored : sequence of int
        Features that the network must not see.
    dropout : float
        Share of the encoding that is dropped in training.
    """

    edges: Tensor
    seen: Tensor

    def __init__(self, features: int, code: int, ignored: Sequence[int] = (), dropout: float = 0.0) -> None:
        super().__init__()
        seen = torch.ones(features, 1)
        seen[list(ignored)] = 0.0
        self.register_buffer("seen", seen, persistent=False)
        self.register_buffer("edges", torch.linspace(-2.0, 2.0, BINS + 1).repeat(features, 1))
        self.layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(features * BINS, code), nn.SiLU())

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        """Place the bins at the quantiles of training features (N, F)."""
        quantiles = torch.quantile(features.double(), torch.linspace(0, 1, BINS + 1, dtype=torch.float64), dim=0)
        self.edges.copy_(quantiles.T)

    def encoding(self, features: Tensor) -> Tensor:
        """Return the place of each feature within its bins, (N, F, BINS), from -1 to 1."""
        low, high = self.edges[:, :-1], self.edges[:, 1:]
        least = NARROWEST * (self.edges[:, -1:] - self.edges[:, :1]) + 1e-6
        place = (features.unsqueeze(2) - low) / torch.maximum(high - low, least)
        return (2.0 * place.clamp(0.0, 1.0) - 1.0) * self.seen

    def forward(self, features: Tensor) -> Tensor:
        """Return the code (N, code) of features (N, F)."""
        code: Tensor = self.layers(self.encoding(features).flatten(1))
        return code
