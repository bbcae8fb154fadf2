"""A diagonal state-space cell that forgets with time: the state of an irregular light curve in closed form.

The state obeys ``dh/dt = -h / tau`` between the observations and gains ``u`` at each (a diagonal linear
state-space model, Gu et al. 2022, arXiv:2206.11893, with the true gaps in place of a fixed step). So

    h(T) = sum over steps k of exp(-(T - t_k) / tau) u_k,

one weighted sum: no step waits for another, in training or at inference.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fulgor.models.recurrent import Recurrence

__all__ = ["DiagonalSSM"]


class DiagonalSSM(Recurrence):
    """A state that is linear in what the steps give; parameters as those of :class:`Recurrence`."""

    read_per_unit = 2

    def gains(self, sequence: Tensor, slots: Tensor) -> Tensor:
        """Return what each step adds to the state, (N, L, hidden): a proposal and how much of it is let in."""
        proposal, gate = self.read(torch.cat([sequence, slots], dim=2)).chunk(2, dim=2)
        return torch.tanh(proposal) * torch.sigmoid(gate)

    def forward(self, sequence: Tensor, mask: Tensor, slots: Tensor) -> Tensor:
        """Return the state after the last step, (N, hidden); arguments as those of :class:`Recurrence`."""
        days = self.days(sequence)
        until_end = days.sum(1, keepdim=True) - torch.cumsum(days, dim=1)
        left = torch.exp(-until_end.unsqueeze(2) * torch.exp(-self.log_tau))
        return (left * mask.unsqueeze(2) * self.gains(sequence, slots)).sum(1)
