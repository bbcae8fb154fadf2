"""Where a training stands, on disk: what it needs to go on as if it had never stopped.

One file is replaced at once, so that a crash leaves the earlier one. Every pass seeds its own draws, so
the number of the pass is all that is kept of the random state.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fulgor.errors import ModelError
from fulgor.models.distributed import ALONE, Ranks
from fulgor.models.wholefile import whole_file

__all__ = ["Checkpoint", "Standing"]

FILE = "checkpoint.safetensors"
CURVES = "curves.csv"


@dataclass(slots=True)
class Standing:
    """How far a training has come.

    Parameters
    ----------
    losses : list of (float, float)
        Training and validation loss of every pass so far.
    best : dict of str to Tensor
        Weights of the pass with the least validation loss.
    best_epoch : int
        That pass, from 1; 0 before the first.
    best_loss : float
        Its validation loss.
    """

    best: dict[str, Tensor]
    losses: list[tuple[float, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = float("inf")


class Checkpoint:
    """The checkpoint of one training, beside it the curves as CSV.

    Parameters
    ----------
    folder : Path
        Made where it is absent.
    identity : mapping
        What the training depends on, as JSON values: a checkpoint of another training is refused.
    ranks : Ranks
        The processes that train together: the first one writes, all read.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], ranks: Ranks = ALONE) -> None:
        self.path = folder / FILE
        several = {"processes": ranks.count} if ranks.count > 1 else {}
        self._identity = json.loads(json.dumps({**identity, **several}))
        self._ranks = ranks
        if ranks.first:
            folder.mkdir(parents=True, exist_ok=True)

    def save(self, network: nn.Module, optimiser: torch.optim.Optimizer, standing: Standing) -> None:
        """Write the state after a pass, if this is the process that writes."""
        if not self._ranks.first:
            return
        tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in standing.best.items()}
        for number, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
        told = {name: getattr(standing, name) for name in ("losses", "best_epoch", "best_loss")}
        metadata = {"standing": json.dumps(told), "identity": json.dumps(self._identity)}
        with whole_file(self.path) as part:
            save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, part, metadata)
        self._write_curves(standing.losses)

    def restore(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> Standing | None:
        """Put network and optimiser where they stood; None where there is no checkpoint.

        Raises
        ------
        ModelError
            The file is damaged, of a training with another configuration, other data or another preparation, or not
            what other processes see.
        """
        standing = self._read(network, optimiser) if self.path.exists() else None
        self._ranks.check_passes(len(standing.losses) if standing else 0)
        return standing

    def _read(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> Standing:
        try:
            with safe_open(self.path, "pt") as file:
                metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self._check(json.loads(metadata["identity"]))
            network.load_state_dict(_below("network.", tensors))
            optimiser.load_state_dict({**optimiser.state_dict(), "state": _states(tensors)})
            told = json.loads(metadata["standing"])
            losses = [(float(loss), float(validation)) for loss, validation in told["losses"]]
            return Standing(_below("best.", tensors), losses, int(told["best_epoch"]), float(told["best_loss"]))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelError(f"{self.path} cannot be read ({error}); delete it to train from the beginning") from error

    def _check(self, found: Mapping[str, Any]) -> None:
        wrong = [name for name in {**self._identity, **found} if found.get(name) != self._identity.get(name)]
        if wrong:
            raise ModelError(
                f"{self.path} belongs to another training: its {', '.join(wrong)} differ; "
                "give another folder with --out, or delete the file to train from the beginning"
            )

    def _write_curves(self, losses: list[tuple[float, float]]) -> None:
        with self.path.with_name(CURVES).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("epoch", "training_loss", "validation_loss"))
            rows.writerows((number, *pair) for number, pair in enumerate(losses, 1))


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _states(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """Return the optimiser's state by number of the parameter."""
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in _below("optimiser.", tensors).items():
        number, name = key.split(".", 1)
        states.setdefault(int(number), {})[name] = value
    return states
