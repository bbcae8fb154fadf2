"""What is left to run: a queue on disk, which goes on where it was killed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from fulgor.errors import ModelError
from fulgor.models.ablation.configurations import Configuration
from fulgor.models.evaluation.result import Evaluation

__all__ = ["Queue", "Result"]

Result = dict[str, Evaluation]
"""``real`` and, unless nothing was trained on them, ``simulated``: evaluations that say what was run."""


class Queue:
    """The results of configurations and seeds in a folder.

    Each run leaves one folder with an evaluation per kind of alerts. That of the real ones is written last,
    so a run without it is run again.

    Parameters
    ----------
    folder : Path
        Made where it is absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, configuration: Configuration, seed: int) -> Path:
        """Return the folder of a run."""
        return self.folder / f"{re.sub(r'[^a-z0-9.]+', '_', configuration.name.lower())}-{seed}"

    def done(self, configuration: Configuration, seed: int) -> bool:
        """Return whether a run has left its result."""
        return _result(self.path(configuration, seed)) is not None

    def run(
        self,
        runs: Iterable[tuple[Configuration, int]],
        measure: Callable[[Configuration, int], Result],
        go_on: Callable[[], bool] = lambda: True,
    ) -> int:
        """Do what is not done yet, in order, as long as ``go_on`` says so before a run; return how many were done."""
        count = 0
        for configuration, seed in runs:
            if self.done(configuration, seed):
                continue
            if not go_on():
                break
            found = measure(configuration, seed)
            for kind in sorted(found, reverse=True):
                found[kind].save(self.path(configuration, seed) / kind)
            count += 1
        return count

    def results(self) -> list[Result]:
        """Return the results of all runs that are done, by configuration and seed.

        Raises
        ------
        ModelError
            There are none.
        """
        found = [result for path in sorted(self.folder.glob("*-*")) if (result := _result(path))]
        if not found:
            raise ModelError(f"{self.folder} holds no result; run the queue first")
        return found


def _result(folder: Path) -> Result | None:
    """Return what a run has left; None where it was cut short."""
    try:
        found = {path.parent.name: Evaluation.load(path) for path in folder.glob("*/*.npz")}
    except ModelError:
        return None
    return found if "real" in found else None
