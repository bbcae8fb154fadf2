"""A detector in the manner of GeoTransform (Reyes & Estevez 2020, arXiv:2005.07779), small enough for a CPU.

A classifier learns which transformation was applied to a stamp; on a stamp of a kind that it never saw
it fails. It was written from descriptions, not from the paper or its code, and differs where they are silent. The 36
transformations (nine shifts by 8 pixels with reflected borders; Gaussian, Laplacian of Gaussian, both,
none) leave out rotation and mirror image: stamps of stars look alike whichever way they are turned, and
a pair that cannot be told apart teaches nothing. The score is a Dirichlet likelihood of the classifier's
answers, after Golan & El-Yaniv 2018.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from scipy.special import digamma, polygamma
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 21
SHIFT = 8
VARIANTS = list(product((0, -SHIFT, SHIFT), (0, -SHIFT, SHIFT), range(4)))
BATCH = 64
RATE = 1e-3


def _kernel(sigma: float, laplacian: bool) -> Tensor:
    axis = torch.arange(5) - 2.0
    radius = (axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * sigma**2)
    kernel = torch.exp(-radius)
    return -(1 - radius) / (np.pi * sigma**4) * kernel if laplacian else kernel / kernel.sum()


def _filtered(stamps: Tensor, kernel: Tensor) -> Tensor:
    return F.conv2d(stamps, kernel.expand(stamps.shape[1], 1, 5, 5), padding=2, groups=stamps.shape[1])


def transformed(stamps: Tensor, which: Tensor) -> Tensor:
    """Apply to each of the stamps (N, 3, 21, 21) the transformation of its number (N,)."""
    smooth = _filtered(stamps, _kernel(1.0, False))
    edges = _kernel(0.5, True)
    kinds = torch.stack([stamps, smooth, _filtered(stamps, edges), _filtered(smooth, edges)])
    chosen = kinds[which % 4, torch.arange(len(stamps))]
    padded = F.pad(chosen, (SHIFT,) * 4, mode="reflect")
    result = torch.empty_like(stamps)
    for place in which.div(4, rounding_mode="floor").unique().tolist():
        dy, dx, _ = VARIANTS[4 * place]
        here = which.div(4, rounding_mode="floor") == place
        result[here] = padded[here, :, SHIFT + dy : SHIFT + dy + SIZE, SHIFT + dx : SHIFT + dx + SIZE]
    return result


class GeoTransform:
    """The classifier of transformations and the likelihood of its answers."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.network = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 25, 64), nn.ReLU(), nn.Linear(64, len(VARIANTS)),
        )  # fmt: skip
        self.alpha = np.ones((len(VARIANTS), len(VARIANTS)))

    def train(self, stamps: Tensor, steps: int) -> None:
        optimiser = torch.optim.Adam(self.network.parameters(), lr=RATE)
        for _ in range(steps):
            which = torch.randint(len(VARIANTS), (BATCH,))
            images = transformed(stamps[torch.randint(len(stamps), (BATCH,))], which)
            loss = F.cross_entropy(self.network(images), which)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

    @torch.no_grad()
    def answers(self, stamps: Tensor) -> np.ndarray:
        """Return log-probabilities (N, transformations, transformations)."""
        answers = []
        for number in range(len(VARIANTS)):
            which = torch.full((len(stamps),), number)
            answers.append(torch.log_softmax(self.network(transformed(stamps, which)), dim=1).clamp(min=-30).numpy())
        return np.stack(answers, axis=1).astype(np.float64)

    def calibrate(self, stamps: Tensor) -> None:
        answers = self.answers(stamps)
        self.alpha = np.stack([dirichlet(answers[:, k]) for k in range(len(VARIANTS))])

    def score(self, stamps: Tensor) -> np.ndarray:
        """Return minus the likelihood, up to a constant, (N,)."""
        return -((self.alpha - 1) * self.answers(stamps)).sum(axis=(1, 2))


def dirichlet(logarithms: np.ndarray, steps: int = 30) -> np.ndarray:
    """Return the Dirichlet parameters of most likelihood (Minka 2000) given log-probabilities (N, k)."""
    mean = logarithms.mean(axis=0)
    alpha = np.maximum(np.exp(mean), 1e-3) * 10
    for _ in range(steps):
        alpha = _inverse_digamma(digamma(alpha.sum()) + mean)
    return alpha


def _inverse_digamma(value: np.ndarray) -> np.ndarray:
    guess = np.where(value >= -2.22, np.exp(value) + 0.5, -1 / (value - digamma(1)))
    for _ in range(5):
        guess = guess - (digamma(guess) - value) / polygamma(1, guess)
    return guess
