"""What training minimises: rebuild the input from a damaged copy, and name the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fulgor.models.dataset import UNLABELLED
from fulgor.models.decoders import history_detections
from fulgor.models.layout import HIDEABLE, SINCE_PREVIOUS
from fulgor.models.symmetry import ORDER
from fulgor.models.ztf import ZtfNetwork

__all__ = ["Batch", "Corruption", "Weights", "corrupt", "objective", "soft_minimum"]

SEEN_POINT = 0.3
"""Weight of a light-curve point that the network was shown, against 1 for a hidden one."""


class Batch(NamedTuple):
    """Model input of N alerts, and their labels int64 (N,)."""

    stamps: Tensor
    masks: Tensor
    sequence: Tensor
    sequence_mask: Tensor
    features: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True)
class Corruption:
    """How a training input is damaged before the network sees it.

    Parameters
    ----------
    noise : float
        Standard deviation added to valid pixels, in the stamps' units.
    stripe : float
        Probability that a stripe along one edge is masked out, as at the border of a detector.
    hidden : float
        Probability that a step before the alert tells its time and band only.
    forgotten : float
        Probability that an alert loses its history: the first alert of an object has none.
    dropped : float
        Probability that a feature is replaced by its mean.
    """

    noise: float = 0.05
    stripe: float = 0.1
    hidden: float = 0.25
    forgotten: float = 0.15
    dropped: float = 0.1


@dataclass(frozen=True, slots=True)
class Weights:
    """Parts of the objective.

    Parameters
    ----------
    stamps, sequence, classes : float
        Weights of the three losses.
    entropy : float
        Weight of the entropy that is rewarded, so that probabilities stay apart from 0 and 1
        (Pereyra et al. 2017, arXiv:1701.06548; 0.5 as in Carrasco-Davis et al. 2021).
    """

    stamps: float = 1.0
    sequence: float = 0.1
    classes: float = 1.0
    entropy: float = 0.5


def _chosen(shape: tuple[int, ...], probability: float, random: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=random) < probability).float()


def _stripes(batch: Batch, probability: float, random: torch.Generator) -> Tensor:
    """Return (N, 1, H, H): 0 on a random stripe along one edge of some alerts' stamps, else 1."""
    count, size = len(batch.stamps), batch.stamps.shape[-1]
    depth = torch.randint(1, size // 3, (count, 1), generator=random)
    stripe = (torch.arange(size) < depth).float() * _chosen((count, 1), probability, random)
    rows = (1.0 - stripe).reshape(count, 1, size, 1).expand(-1, -1, -1, size)
    return torch.where(_chosen((count, 1, 1, 1), 0.5, random) > 0, rows, rows.transpose(2, 3))


def corrupt(batch: Batch, mean: Tensor, how: Corruption, random: torch.Generator) -> tuple[Batch, Tensor]:
    """Return a damaged copy of a batch, and which steps it hides.

    Parameters
    ----------
    batch : Batch
        The true input; it is not changed.
    mean : Tensor
        (F,): what a dropped feature is replaced by.
    how : Corruption
        How much.
    random : torch.Generator
        Source of all randomness.

    Returns
    -------
    Batch
        The damaged copy.
    Tensor
        (N, L): 1 where the photometry of a step was hidden.
    """
    count, steps = batch.sequence_mask.shape
    masks = batch.masks * _stripes(batch, how.stripe, random)
    stamps = (batch.stamps + how.noise * torch.randn(batch.stamps.shape, generator=random)) * masks
    earlier = batch.sequence_mask.clone()
    earlier[:, -1] = 0.0
    forgotten = _chosen((count, 1), how.forgotten, random) * earlier
    hidden = _chosen((count, steps), how.hidden, random) * earlier
    kept = batch.sequence_mask - forgotten
    sequence = batch.sequence * kept.unsqueeze(2)
    sequence[:, :, HIDEABLE] *= (1.0 - hidden).unsqueeze(2)
    sequence[:, -1, SINCE_PREVIOUS] *= 1.0 - forgotten.amax(1)
    dropped = _chosen(tuple(batch.features.shape), how.dropped, random)
    features = torch.where(dropped > 0, mean, batch.features)
    damaged = Batch(stamps, masks, sequence, kept, features, batch.labels)
    return damaged, torch.maximum(hidden, forgotten)


def soft_minimum(errors: Tensor, softness: float) -> Tensor:
    """Return the least error over the orientations, (N,), softened so that all eight can learn.

    Parameters
    ----------
    errors : Tensor
        (N, 8).
    softness : float
        Temperature as a part of the mean error; 0 is the plain minimum.
    """
    if softness <= 0:
        return errors.amin(1)
    temperature = softness * errors.detach().mean().clamp(min=1e-6)
    return -temperature * (torch.logsumexp(-errors / temperature, dim=1) - torch.log(torch.tensor(float(ORDER))))


def _sequence_loss(network: ZtfNetwork, latent: Tensor, batch: Batch, hidden: Tensor) -> Tensor:
    """Return the robust mean deviation of the history's detections, hidden ones first."""
    points = history_detections(batch.sequence, batch.sequence_mask)
    weight = points * (SEEN_POINT + (1.0 - SEEN_POINT) * hidden)
    deviations = network.sequence_decoder.deviations(latent, batch.sequence)
    loss = torch.sqrt(1.0 + deviations**2) - 1.0
    return (weight * loss).sum() / weight.sum().clamp(min=1.0)


def _class_loss(logits: Tensor, labels: Tensor, balance: Tensor, entropy: float) -> Tensor:
    known = labels != UNLABELLED
    if not bool(known.any()):
        return logits.sum() * 0.0
    logs = torch.log_softmax(logits[known], dim=1)
    cross = F.nll_loss(logs, labels[known], weight=balance)
    return cross + entropy * (logs.exp() * logs).sum(1).mean()


def objective(
    network: ZtfNetwork,
    batch: Batch,
    damaged: Batch,
    hidden: Tensor,
    balance: Tensor,
    weights: Weights,
    softness: float,
) -> Tensor:
    """Return the loss of one batch.

    Parameters
    ----------
    network : ZtfNetwork
        The network that is trained.
    batch, damaged : Batch
        What is to be rebuilt, and what the network sees.
    hidden : Tensor
        (N, L), from :func:`corrupt`.
    balance : Tensor
        (classes,): weight of each class; inverse frequencies make the class prior uniform.
    weights : Weights
        Parts of the objective.
    softness : float
        Of the minimum over orientations.
    """
    latents = network.encode(*damaged[:5])
    errors, pixels = network.stamp_decoder.errors(latents.stamp, batch.stamps, batch.masks)
    stamps = (soft_minimum(errors, softness) * (pixels > 0)).mean()
    sequence = _sequence_loss(network, latents.object, batch, hidden)
    classes = _class_loss(network.classifier(latents.object), batch.labels, balance, weights.entropy)
    return weights.stamps * stamps + weights.sequence * sequence + weights.classes * classes
