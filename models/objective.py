"""What training minimises: rebuild the input from a damaged copy, and name the class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fulgor.models.batches import Batch
from fulgor.models.dataset import UNLABELLED
from fulgor.models.decoders import history_detections
from fulgor.models.distributed import ALONE, Ranks
from fulgor.models.symmetry import ORDER
from fulgor.models.ztf import ZtfNetwork

__all__ = ["Weights", "class_loss", "objective", "sequence_loss", "soft_minimum"]

SEEN_POINT = 0.3
"""Weight of a light-curve point that the network was shown, against 1 for a hidden one."""


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


def soft_minimum(errors: Tensor, softness: float, ranks: Ranks = ALONE) -> Tensor:
    """Return the least error over the orientations, (N,), softened so that all eight can learn.

    Parameters
    ----------
    errors : Tensor
        (N, 8).
    softness : float
        Temperature as a part of the mean error; 0 is the plain minimum.
    ranks : Ranks
        The processes over which that mean is taken.
    """
    if softness <= 0:
        return errors.amin(1)
    temperature = softness * ranks.mean(errors.mean()).clamp(min=1e-6)
    return -temperature * (torch.logsumexp(-errors / temperature, dim=1) - torch.log(torch.tensor(float(ORDER))))


def sequence_loss(network: ZtfNetwork, latent: Tensor, batch: Batch, hidden: Tensor, ranks: Ranks = ALONE) -> Tensor:
    """Return the robust mean deviation of the history's detections, hidden ones first."""
    points = history_detections(batch.sequence, batch.sequence_mask)
    weight = points * (SEEN_POINT + (1.0 - SEEN_POINT) * hidden)
    deviations = network.sequence_decoder.deviations(latent, batch.sequence)
    loss = torch.sqrt(1.0 + deviations**2) - 1.0
    return (weight * loss).sum() / ranks.mean(weight.sum()).clamp(min=1.0)


def class_loss(logits: Tensor, labels: Tensor, balance: Tensor, entropy: float, ranks: Ranks = ALONE) -> Tensor:
    """Return the balanced cross-entropy of the labelled alerts, less the entropy that is rewarded."""
    known = labels != UNLABELLED
    some = bool(known.any())
    logs = torch.log_softmax(logits[known], dim=1)
    cross = F.nll_loss(logs, labels[known], weight=balance) if some else logits.sum() * 0.0
    spread = (logs.exp() * logs).sum(1).mean() if some else logits.sum() * 0.0
    weight = balance[labels[known]].sum()
    return _parted(cross, weight, ranks) + entropy * _parted(spread, known.float().sum(), ranks)


def _parted(mean: Tensor, weight: Tensor, ranks: Ranks) -> Tensor:
    """Return what a mean over this process's alerts adds to that over all of them, times the processes.

    All processes come by here in the same order, also one that has nothing to add.
    """
    return mean * (weight / ranks.mean(weight).clamp(min=1e-12))


def objective(
    network: ZtfNetwork,
    batch: Batch,
    damaged: Batch,
    hidden: Tensor,
    balance: Tensor,
    weights: Weights,
    softness: float,
    ranks: Ranks = ALONE,
) -> Tensor:
    """Return the loss of one batch; of several processes' batches, their mean is the loss of all alerts together.

    Parameters
    ----------
    network : ZtfNetwork
        The network that is trained.
    batch, damaged : Batch
        What is to be rebuilt, and what the network sees.
    hidden : Tensor
        (N, L), from :func:`fulgor.models.augmentation.corrupt`.
    balance : Tensor
        (classes,): weight of each class; inverse frequencies make the class prior uniform.
    weights : Weights
        Parts of the objective.
    softness : float
        Of the minimum over orientations.
    ranks : Ranks
        The processes that train together; all of them must come by here.
    """
    latents = network.encode(*damaged[:5])
    errors, pixels = network.stamp_decoder.errors(latents.stamp, batch.stamps, batch.masks)
    stamps = (soft_minimum(errors, softness, ranks) * (pixels > 0)).mean()
    stamps = _parted(stamps, torch.ones_like(pixels).sum(), ranks)
    sequence = sequence_loss(network, latents.object, batch, hidden, ranks)
    classes = class_loss(network.classifier(latents.object), batch.labels, balance, weights.entropy, ranks)
    return weights.stamps * stamps + weights.sequence * sequence + weights.classes * classes
