"""Passes over training data, whatever the network: rate, steps, early stopping, the best weights kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fulgor.errors import ModelError
from fulgor.models.checkpoint import Checkpoint, Standing

__all__ = ["Epoch", "Stopping", "descend", "rate_at", "run_passes"]

WARM_UP = 0.05
"""Part of the training over which the rate rises to its peak, before its cosine descent."""

CLIP = 5.0
"""Largest norm of a gradient."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """Progress after one pass: ``number`` of ``epochs``, both losses, and whether it is the best so far."""

    number: int
    epochs: int
    loss: float
    validation: float
    best: bool


def rate_at(progress: float) -> float:
    """Return the part of the peak rate at a point of the training, 0 to 1."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1.0 + math.cos(math.pi * (progress - WARM_UP) / (1.0 - WARM_UP)))


def descend(network: nn.Module, optimiser: torch.optim.Optimizer, rate: float, loss: Tensor) -> float:
    """Take one step down a loss at a learning rate, and return the loss."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
    optimiser.step()
    return float(loss.detach())


class Stopping(Protocol):
    """When a training ends: after ``epochs`` passes, or ``patience`` passes without a better one."""

    @property
    def epochs(self) -> int:
        """Passes at most."""
        ...

    @property
    def patience(self) -> int:
        """Passes without a better validation loss."""
        ...


def run_passes(
    network: nn.Module, optimiser: torch.optim.Optimizer, once: Callable[[int], tuple[float, float]],
    stopping: Stopping, progress: Callable[[Epoch], None], checkpoint: Checkpoint | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Run passes until they get no better, and leave the best weights in the network.

    Parameters
    ----------
    network, optimiser
        What is trained, in place, and by what.
    once : callable
        Does a pass, of a number from 1, and returns its training and validation loss.
    stopping : Stopping
        When to end.
    progress, checkpoint
        Told of every pass, also those before an interruption; where the training goes on from.

    Returns
    -------
    dict
        ``epochs_run``, ``best_epoch`` and ``validation_loss``.

    Raises
    ------
    ModelError
        No pass had a finite validation loss, or the checkpoint is of another training.
    """
    standing = checkpoint.restore(network, optimiser) if checkpoint else None
    standing = standing or Standing(_copied(network))
    for number, (loss, validation) in enumerate(standing.losses, 1):
        progress(Epoch(number, stopping.epochs, loss, validation, number == standing.best_epoch))
    for number in range(len(standing.losses) + 1, stopping.epochs + 1):
        if standing.losses and number - 1 - standing.best_epoch >= stopping.patience:
            break
        loss, validation = once(number)
        standing.losses.append((loss, validation))
        if better := validation < standing.best_loss:
            standing.best, standing.best_epoch, standing.best_loss = _copied(network), number, validation
        if checkpoint:
            checkpoint.save(network, optimiser, standing)
        progress(Epoch(number, stopping.epochs, loss, validation, better))
    if not math.isfinite(standing.best_loss):
        raise ModelError("the training diverged: no pass had a finite validation loss; lower the rate, check the data")
    network.load_state_dict(standing.best)
    network.eval()
    return {
        "epochs_run": len(standing.losses),
        "best_epoch": standing.best_epoch,
        "validation_loss": standing.best_loss,
    }


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
