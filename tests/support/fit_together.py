"""One of several processes that train a tiny network together, started by torchrun; the same alone.

    torchrun --nproc-per-node 2 fit_together.py DATASET OUT BATCH

Leaves the losses of its steps and its final weights under OUT, of a training that ran through and of one that was
interrupted after its first pass and went on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from fulgor.models import fitting
from fulgor.models.augmentation import Augmentation
from fulgor.models.checkpoint import Checkpoint
from fulgor.models.dataset import Dataset
from fulgor.models.distributed import Ranks, launched
from fulgor.models.fitting import TrainingConfig, fit
from fulgor.models.passes import Epoch, descend
from fulgor.models.ztf import Architecture, ZtfNetwork

STILL = Augmentation(turned=0, noise=0, stripe=0, patch=0, blind=0, hidden=0, forgotten=0, swapped=0)


class Interruption(Exception):
    """The power went away."""


def interrupt(epoch: Epoch) -> None:
    raise Interruption(epoch)


def new_network(dataset: Dataset) -> ZtfNetwork:
    torch.manual_seed(1)
    features, steps = dataset.arrays["features"].shape[1], dataset.arrays["sequence"].shape[1]
    network = ZtfNetwork(Architecture(features, size=21, width=1, steps=steps, classes=dataset.classes, dropout=0.0))
    network.metadata.fit(torch.from_numpy(np.asarray(dataset.arrays["features"])))
    return network


def main(ranks: Ranks, dataset: Dataset, out: Path, batch: int) -> None:
    losses: list[float] = []

    def noted(*given: object) -> float:
        losses.append(descend(*given))  # type: ignore[arg-type]
        return losses[-1]

    fitting.descend = noted  # type: ignore[assignment]
    config = TrainingConfig(size=21, width=1, epochs=2, batch=batch, augmentation=STILL)
    parts = {"train": np.arange(101), "validation": np.arange(101, 140)}
    whole = new_network(dataset)
    fit(whole, dataset, parts, config, lambda epoch: None, Checkpoint(out / "whole", {}, ranks), ranks)
    np.savetxt(out / f"losses{ranks.number}.txt", losses)
    folder = out / "interrupted"
    try:
        fit(new_network(dataset), dataset, parts, config, interrupt, Checkpoint(folder, {}, ranks), ranks)
    except Interruption:
        ranks.wait()
    again = new_network(dataset)
    fit(again, dataset, parts, config, lambda epoch: None, Checkpoint(folder, {}, ranks), ranks)
    for name, network in (("whole", whole), ("again", again)):
        save_file(network.state_dict(), out / f"{name}{ranks.number}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with launched("cpu") as ranks:
        main(ranks, Dataset.open(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]))
