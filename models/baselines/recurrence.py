"""A recurrent cell along sequences of which only some places are filled."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["last_state"]


def last_state(cell: nn.GRUCell | nn.LSTMCell, steps: Tensor, held: Tensor) -> Tensor:
    """Return the hidden state (N, hidden) after the filled places.

    Parameters
    ----------
    cell : Module
        From the state of zeros.
    steps : Tensor
        (N, L, columns), in the order of time.
    held : Tensor
        (N, L): 1 for a step, 0 for a place that leaves the state as it is.
    """
    states = [steps.new_zeros(len(steps), cell.hidden_size) for _ in range(2 if isinstance(cell, nn.LSTMCell) else 1)]
    for step, here in zip(steps.unbind(1), held.unsqueeze(2).unbind(1), strict=True):
        after = cell(step, tuple(states)) if isinstance(cell, nn.LSTMCell) else (cell(step, states[0]),)
        states = [here * new + (1 - here) * old for new, old in zip(after, states, strict=True)]
    return states[0]
