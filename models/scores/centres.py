"""Distance to the nearest class centre in a learned projection: multi-class deep SVDD.

The recipe of Perez-Carrasco et al. 2023 (arXiv:2308.05011): an encoder of three hidden layers with
batch normalisation and leaky ReLU, its last layer without bias, is pre-trained as an autoencoder; the
centre of each class is the mean of its members in that projection and stays fixed; the encoder then
draws each member to the centre of its class. The score is the least squared distance to a centre.
Two things differ: the layers are a quarter as wide (their input has 152 features, ours 64 elements),
and the decoder ends without a sigmoid, for our input is standardised and not scaled to [0, 1].
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np

from fulgor.errors import ModelError
from fulgor.models.scores.score import Arrays, Floats, Labels

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Centres"]

WIDTHS = (128, 64, 32)
PROJECTION = 16
SLOPE = 0.01
"""Of the leaky ReLU below zero."""

RATE = 1e-3
BATCH = 128
STEPS = 450
"""At most, of the pre-training and of the drawing together to the centres."""

PATIENCE = 10
"""Looks at the validation loss without a better one before the training stops."""

LOOK_EVERY = 15
"""Steps."""

HELD_BACK = 0.15
"""Part of the labelled alerts whose loss stops the training."""

NEAR_ZERO = 0.01
"""A centre's element this near to zero is moved to it: a projection that is zero everywhere would fit it."""

FEWEST = 2
"""A class with fewer members gets no centre."""


@dataclass(frozen=True, slots=True)
class Centres:
    """The projection, batch normalisation folded in, and the centres.

    Parameters
    ----------
    weights, biases : tuple of ndarray
        Layers as (inputs, outputs) and (outputs,).
    centres : ndarray of float32
        (classes with a centre, projection).
    """

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    centres: Floats

    @classmethod
    def fit(cls, latents: Floats, labels: Labels, seed: int) -> Self:
        """Train the projection on the labelled among latents (N, D).

        Raises
        ------
        ModelError
            No class has two labelled members.
        """
        import torch

        classes = [c for c in np.unique(labels[labels >= 0]).tolist() if (labels == c).sum() >= FEWEST]
        if not classes:
            raise ModelError("no class has two labelled training alerts, so no class centre can be placed")
        known = np.isin(labels, classes)
        rows = torch.from_numpy(np.asarray(latents[known], dtype=np.float32))
        member = torch.from_numpy(np.searchsorted(classes, labels[known]))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            encoder = _layers((rows.shape[1], *WIDTHS, PROJECTION), last_bias=False)
            decoder = _layers((PROJECTION, *reversed(WIDTHS), rows.shape[1]), last_bias=True)
            both = torch.nn.Sequential(encoder, decoder)
            _train(both, len(rows), lambda index: ((both(rows[index]) - rows[index]) ** 2).mean())
            centres = _placed(encoder, rows, member, len(classes))
            _train(encoder, len(rows), lambda i: ((encoder(rows[i]) - centres[member[i]]) ** 2).sum(1).mean())
        weights, biases = _folded(encoder)
        return cls(weights, biases, centres.numpy())

    def __call__(self, latents: Floats) -> Floats:
        """Return the least squared distance to a centre, (N,), of latents (N, D)."""
        x = latents.astype(np.float64)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if number:
                x = np.maximum(x, SLOPE * x)
            x = x @ weight + bias
        return np.asarray(((x[:, None, :] - self.centres) ** 2).sum(2).min(axis=1))

    def arrays(self) -> Arrays:
        """Return layers and centres."""
        layers = {f"weight{k}": weight for k, weight in enumerate(self.weights)}
        return {**layers, **{f"bias{k}": bias for k, bias in enumerate(self.biases)}, "centres": self.centres}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Return the score that :meth:`arrays` described."""
        count = sum(name.startswith("weight") for name in arrays)
        weights = tuple(arrays[f"weight{k}"] for k in range(count))
        return cls(weights, tuple(arrays[f"bias{k}"] for k in range(count)), arrays["centres"])


def _layers(sizes: tuple[int, ...], *, last_bias: bool) -> nn.Sequential:
    from torch import nn

    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1], bias=last_bias))


def _train(module: nn.Module, count: int, loss: Callable[[Tensor], Tensor]) -> None:
    """Minimise a loss of row numbers; keep the weights of the least loss on the rows held back."""
    import torch

    order = torch.randperm(count)
    held = max(int(HELD_BACK * count), 1)
    watched, used = order[:held], order[held:] if count > held + 1 else order
    optimiser = torch.optim.Adam(module.parameters(), lr=RATE)
    best, best_state, since = float("inf"), copy.deepcopy(module.state_dict()), 0
    for step in range(1, STEPS + 1):
        module.train()
        batch = used[torch.randint(len(used), (min(BATCH, max(len(used), 2)),))]
        optimiser.zero_grad(set_to_none=True)
        loss(batch).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % LOOK_EVERY:
            continue
        module.eval()
        with torch.no_grad():
            found = float(loss(watched))
        if found < best:
            best, best_state, since = found, copy.deepcopy(module.state_dict()), 0
        elif (since := since + 1) >= PATIENCE:
            break
    module.load_state_dict(best_state)
    module.eval()


def _placed(encoder: nn.Module, rows: Tensor, member: Tensor, classes: int) -> Tensor:
    """Return the centres (classes, projection), no element of which is nearly zero."""
    import torch

    with torch.no_grad():
        projected = encoder(rows)
    centres = torch.stack([projected[member == c].mean(0) for c in range(classes)])
    moved = torch.where(centres < 0, -NEAR_ZERO, NEAR_ZERO)
    return torch.where(centres.abs() < NEAR_ZERO, moved, centres)


def _folded(encoder: nn.Sequential) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
    """Return the layers with batch normalisation multiplied in."""
    from torch import nn

    weights: list[Floats] = []
    biases: list[Floats] = []
    for layer in encoder:
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach().double().numpy().T
            bias = np.zeros(weight.shape[1]) if layer.bias is None else layer.bias.detach().double().numpy()
            weights.append(weight)
            biases.append(bias)
        elif isinstance(layer, nn.BatchNorm1d):
            assert layer.running_mean is not None  # noqa: S101 - it tracks its statistics by default
            assert layer.running_var is not None  # noqa: S101
            gain = layer.weight.detach().double().numpy() / np.sqrt(layer.running_var.double().numpy() + layer.eps)
            shift = layer.bias.detach().double().numpy() - layer.running_mean.double().numpy() * gain
            weights[-1], biases[-1] = weights[-1] * gain, biases[-1] * gain + shift
    return tuple(w.astype(np.float32) for w in weights), tuple(b.astype(np.float32) for b in biases)
