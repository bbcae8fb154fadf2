"""Minus the log-density of a normalising flow: how rare a latent is among those of the training.

A masked autoregressive flow (Papamakarios et al. 2017, arXiv:1705.07057), trained by zuko on the
principal components of the latents, served in numpy: its masks are multiplied into the weights, and
its inverse, which is slow, is never needed.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fulgor.models.scores.score import Arrays, Floats

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Flow"]

COMPONENTS = 16
"""Principal components that the density is of; a few hundred alerts say nothing of more."""

TRANSFORMS = 3
HIDDEN = (64, 64)
RATE = 3e-3
DECAY = 1e-3
BATCH = 256
STEPS = 600
PATIENCE = 10
LOOK_EVERY = 15
HELD_BACK = 0.15
"""As in :mod:`fulgor.models.scores.centres`."""

NOISE = 0.1
"""Added to the whitened components in training: a density may not gather on single alerts."""

SMALLEST_SLOPE = 1e-3
"""Of zuko's affine transform: the scale is kept above it and below its inverse."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The flow's layers, masks multiplied in.

    Parameters
    ----------
    whitening : ndarray of float32
        (D, components).
    weights, biases : tuple of tuple of ndarray
        Of each transform its layers as (inputs, outputs) and (outputs,); the last one gives shift and
        scale of each component in turn.
    """

    whitening: Floats
    weights: tuple[tuple[Floats, ...], ...]
    biases: tuple[tuple[Floats, ...], ...]

    @classmethod
    def fit(cls, latents: Floats, seed: int) -> Self:
        """Train a flow on standardised latents (N, D)."""
        import torch

        whitening = _whitening(latents)
        rows = torch.from_numpy(np.asarray(latents @ whitening, dtype=np.float32))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            flow = _train(rows)
        weights, biases = [], []
        for transform in flow.transform.transforms:
            layers = [layer for layer in transform.hyper if hasattr(layer, "mask")]
            weights.append(tuple((layer.weight * layer.mask).detach().numpy().T.copy() for layer in layers))
            biases.append(tuple(layer.bias.detach().numpy().copy() for layer in layers))
        return cls(whitening, tuple(weights), tuple(biases))

    def __call__(self, latents: Floats) -> Floats:
        """Return minus the log-density of the whitened components, (N,), of latents (N, D)."""
        x = latents.astype(np.float64) @ self.whitening
        logarithm = np.zeros(len(x))
        for weights, biases in zip(self.weights, self.biases, strict=True):
            shift, scale = _hyper(x, weights, biases)
            x = x * np.exp(scale) + shift
            logarithm += scale.sum(axis=1)
        normal = -0.5 * (x**2 + math.log(2.0 * math.pi)).sum(axis=1)
        return np.asarray(-(normal + logarithm))

    def arrays(self) -> Arrays:
        """Return whitening and layers."""
        found: Arrays = {"whitening": self.whitening}
        for t, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            found |= {f"weight{t}.{k}": weight for k, weight in enumerate(weights)}
            found |= {f"bias{t}.{k}": bias for k, bias in enumerate(biases)}
        return found

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Return the score that :meth:`arrays` described."""
        places = [name.removeprefix("weight").split(".") for name in arrays if name.startswith("weight")]
        layers = {t: 1 + max(int(k) for s, k in places if s == t) for t, _ in places}

        def stacked(kind: str) -> tuple[tuple[Floats, ...], ...]:
            return tuple(tuple(arrays[f"{kind}{t}.{k}"] for k in range(layers[str(t)])) for t in range(len(layers)))

        return cls(arrays["whitening"], stacked("weight"), stacked("bias"))


def _hyper(x: Floats, weights: tuple[Floats, ...], biases: tuple[Floats, ...]) -> tuple[Floats, Floats]:
    """Return shift and logarithm of the scale, (N, components) each."""
    hidden = x
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        hidden = np.maximum(hidden @ weight + bias, 0.0)
    found = (hidden @ weights[-1] + biases[-1]).reshape(len(x), x.shape[1], 2)
    raw = found[:, :, 1]
    return found[:, :, 0], raw / (1.0 + np.abs(raw / math.log(SMALLEST_SLOPE)))


def _whitening(latents: Floats) -> Floats:
    """Return the projection (D, components) on the principal components, in units of their spread."""
    covariance = np.cov(latents.astype(np.float64), rowvar=False)
    variance, axes = np.linalg.eigh(covariance)
    count = min(COMPONENTS, latents.shape[1], max(len(latents) // 10, 2))
    largest = slice(None, -count - 1, -1)
    spread = np.sqrt(np.maximum(variance[largest], 1e-6 * variance[-1]))
    return np.asarray(axes[:, largest] / spread, dtype=np.float32)


def _train(rows: Tensor) -> Any:
    """Return a flow of least loss on the rows held back."""
    import torch
    import zuko  # type: ignore[import-untyped]

    order = torch.randperm(len(rows))
    held = max(int(HELD_BACK * len(rows)), 1)
    watched, used = rows[order[:held]], rows[order[held:]]
    flow = zuko.flows.MAF(rows.shape[1], transforms=TRANSFORMS, hidden_features=HIDDEN)
    optimiser = torch.optim.AdamW(flow.parameters(), lr=RATE, weight_decay=DECAY)
    best, best_state, since = float("inf"), copy.deepcopy(flow.state_dict()), 0
    for step in range(1, STEPS + 1):
        batch = used[torch.randint(len(used), (min(BATCH, len(used)),))]
        loss = -flow().log_prob(batch + NOISE * torch.randn_like(batch)).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % LOOK_EVERY:
            continue
        with torch.no_grad():
            found = float(-flow().log_prob(watched).mean())
        if found < best:
            best, best_state, since = found, copy.deepcopy(flow.state_dict()), 0
        elif (since := since + 1) >= PATIENCE:
            break
    flow.load_state_dict(best_state)
    return flow
