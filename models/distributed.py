"""Several processes that train one network together, started by torch's own launcher (torchrun).

Each process takes its part of every step's alerts, and DistributedDataParallel averages the gradients. A loss whose
parts are means over alerts is averaged by their numbers over all processes, so that a step is that of one process
with as many times the batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from fulgor.errors import ModelError, SettingsError
from fulgor.models.batches import Index

__all__ = ["ALONE", "Ranks", "launched", "processes"]

PATIENCE: Final = timedelta(hours=4)
"""How long processes wait for each other: the first one prepares the archives while the others wait."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """One process among those that train together.

    Parameters
    ----------
    number, count : int
        Which of them this is, and how many there are.
    local : int
        Which of those of its machine.
    """

    number: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this one writes files and speaks to the user."""
        return self.number == 0

    def device(self, chosen: str) -> str:
        """Return the torch device of this process: of several GPUs, its own."""
        return f"cuda:{self.local}" if chosen == "cuda" and self.count > 1 else chosen

    def shares(self, order: Index, size: int) -> list[Index]:
        """Return this process's alerts of each step, at most ``size`` each; as many steps for all processes.

        The fewer than ``count`` alerts that may be left at the end are left out.
        """
        starts = range(0, len(order), size * self.count)
        steps = [order[start : start + size * self.count] for start in starts]
        return [step[self.number :: self.count] for step in steps if len(step) >= self.count]

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a value over the processes; no gradient passes."""
        if self.count == 1:
            return value.detach()
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.count

    def average(self, value: float) -> float:
        """Return the mean of a number over the processes."""
        if self.count == 1:
            return value
        device = torch.device("cuda", self.local) if dist.get_backend() == "nccl" else torch.device("cpu")
        return float(self.mean(torch.tensor(value, dtype=torch.float64, device=device)))

    def followed(self, module: nn.Module) -> nn.Module:
        """Return a module whose gradients are averaged over the processes."""
        return module if self.count == 1 else DistributedDataParallel(module)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier()

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Have the first process do what is inside, then all others."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def check_passes(self, done: int) -> None:
        """Check that all processes go on from the same pass.

        Raises
        ------
        ModelError
            They do not: some of them see another folder.
        """
        if self.average(done) != done:
            raise ModelError(
                f"process {self.number} goes on after pass {done}, others after another one: "
                "the folder of the model must lie on a disk that all machines share"
            )


ALONE: Final = Ranks()


def processes() -> int:
    """Return how many processes the launcher has started; 1 without a launcher.

    Raises
    ------
    SettingsError
        The launcher's environment cannot be read.
    """
    return _number("WORLD_SIZE", 1)


@contextmanager
def launched(chosen: str) -> Iterator[Ranks]:
    """Join the processes that the launcher has started, and leave them in the end.

    Parameters
    ----------
    chosen : str
        ``cpu`` (they talk by gloo) or ``cuda`` (by nccl).

    Raises
    ------
    SettingsError
        The launcher's environment cannot be read.
    """
    if processes() == 1:
        yield ALONE
        return
    ranks = Ranks(_number("RANK"), processes(), _number("LOCAL_RANK"))
    if chosen == "cuda":
        torch.cuda.set_device(ranks.local)
    dist.init_process_group("nccl" if chosen == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


def _number(name: str, default: int | None = None) -> int:
    text = os.environ.get(name, default)
    try:
        return int(text)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"{name} is {text!r}: start several processes by torchrun, which sets it, or unset WORLD_SIZE"
        ) from error
