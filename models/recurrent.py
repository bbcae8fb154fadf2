"""A gated recurrent unit that forgets with time.

Between two steps the state fades by ``exp(-days / tau)``, with one learned time scale per unit
(GRU-D, Che et al. 2018, doi:10.1038/s41598-018-24271-9), so an irregular cadence needs no
interpolation and a step after a long gap starts nearly afresh.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from fulgor.models.layout import SINCE_PREVIOUS

__all__ = ["DecayGRU", "Recurrence"]

SHORTEST_DAYS, LONGEST_DAYS = 1.0, 1000.0
"""Range over which the time scales start, log-uniformly."""


class Recurrence(nn.Module):
    """The recurrent part: photometry and stamp latents in time order to one state.

    Called with a sequence (N, L, columns) in time order, padded at the front, its mask (N, L) of 1 for a
    step and 0 for padding, whose last step is one, and slots (N, L, slot), it returns the state after the
    last step, (N, hidden).

    Parameters
    ----------
    columns : int
        Columns of a photometric step.
    slot : int
        Length of a stamp latent, which each step may carry beside its photometry.
    hidden : int
        Length of the state.
    """

    read_per_unit: ClassVar[int]
    """How many numbers a cell reads of a step for each unit of its state."""

    def __init__(self, columns: int, slot: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.absent = nn.Parameter(torch.zeros(slot))
        self.log_tau = nn.Parameter(torch.linspace(math.log(SHORTEST_DAYS), math.log(LONGEST_DAYS), hidden))
        self.read = nn.Linear(columns + slot, self.read_per_unit * hidden)
        """What every cell reads a step with; the slot comes last in its input."""

    def slots(
        self, stamp_latent: Tensor, steps: int, history: Tensor | None = None, history_mask: Tensor | None = None
    ) -> Tensor:
        """Return what each step knows of its stamps: the current ones last, before them those given, else "absent".

        Parameters
        ----------
        stamp_latent : Tensor
            (N, slot), of the alert itself.
        steps : int
            L, the alert's own step included.
        history, history_mask : Tensor, optional
            As in :data:`fulgor.models.layout.HISTORY_INPUTS`; by default all earlier steps are "absent".

        Returns
        -------
        Tensor
            (N, L, slot).
        """
        earlier = self.absent.expand(stamp_latent.shape[0], steps - 1, -1)
        if history is not None and history_mask is not None:
            earlier = torch.where(history_mask.unsqueeze(2) > 0, history, earlier)
        return torch.cat([earlier, stamp_latent.unsqueeze(1)], dim=1)

    def days(self, sequence: Tensor) -> Tensor:
        """Return the days between each step and the one before it, (N, L)."""
        return (torch.exp(sequence[:, :, SINCE_PREVIOUS]) - 1.0).clamp(min=0.0)


class DecayGRU(Recurrence):
    """A gated recurrent unit whose state fades between steps; parameters as those of :class:`Recurrence`."""

    read_per_unit = 3

    def __init__(self, columns: int, slot: int, hidden: int) -> None:
        super().__init__(columns, slot, hidden)
        self.carry = nn.Linear(hidden, 3 * hidden)

    def step(self, gates: Tensor, new: Tensor, state: Tensor) -> Tensor:
        """Advance the state by one observation.

        Parameters
        ----------
        gates, new : Tensor
            (N, 2 * hidden) and (N, hidden): the projected input of this step.
        state : Tensor
            (N, hidden): what remains of the state of the previous step.
        """
        carried_gates, carried_new = torch.split(self.carry(state), [2 * self.hidden, self.hidden], dim=1)
        update, reset = torch.sigmoid(gates + carried_gates).chunk(2, dim=1)
        proposal = torch.tanh(new + reset * carried_new)
        return proposal + update * (state - proposal)

    def remaining(self, sequence: Tensor, mask: Tensor) -> Tensor:
        """Return what each step finds of the state before it, (N, L, hidden): nothing after padding."""
        fade = torch.exp(-self.days(sequence).unsqueeze(2) * torch.exp(-self.log_tau))
        before = torch.cat([torch.zeros_like(mask[:, :1]), mask[:, :-1]], dim=1)
        return fade * before.unsqueeze(2)

    def forward(self, sequence: Tensor, mask: Tensor, slots: Tensor) -> Tensor:
        """Run over a padded sequence.

        Parameters
        ----------
        sequence : Tensor
            (N, L, columns), in time order, padded at the front.
        mask : Tensor
            (N, L): 1 for a step, 0 for padding; the last step is one.
        slots : Tensor
            (N, L, slot).

        Returns
        -------
        Tensor
            (N, hidden): the state after the last step.
        """
        read = self.read(torch.cat([sequence, slots], dim=2)).transpose(0, 1)
        gates, new = torch.split(read, [2 * self.hidden, self.hidden], dim=2)
        left = self.remaining(sequence, mask).transpose(0, 1)
        state = torch.zeros_like(new[0])
        # Unbound at once: the gradient of each single indexing would fill a whole sequence with zeros.
        for known, proposed, remains in zip(gates.unbind(), new.unbind(), left.unbind(), strict=True):
            state = self.step(known, proposed, remains * state)
        return state
