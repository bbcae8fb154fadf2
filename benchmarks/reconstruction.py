"""How well real stamps are rebuilt from the stamp latent, before and after the stamp decoder is tuned on real ones.

    OMP_NUM_THREADS=1 python benchmarks/reconstruction.py --data ../shared/data --count 600

Held out are the alerts of the frozen score reference, and each fold's labelled alerts, told by a decoder that was
tuned without them (and never on the reference). Floors beside it: the mean stamp, and principal components, as many
as the latent has numbers, both of the real stamps that the decoder was tuned on. Every error is the decoder's own:
weighted pseudo-Huber over valid pixels.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from baselines import simulated_alerts
from gap import real_alerts

from fulgor.models.card import read_card
from fulgor.models.cuda import load_network
from fulgor.models.dataset import Dataset, Example
from fulgor.models.encoder import central_crop
from fulgor.models.evaluation.folds import outer_folds, reference_objects, splits
from fulgor.models.layout import CLASSES
from fulgor.models.redrawing import RedrawingConfig, redraw, stamp_errors
from fulgor.models.ztf import ZtfNetwork
from fulgor.preprocessing.ztf import ZtfAlert, ZtfDecoder, prepare
from fulgor.replay.archive import open_archive

SHIPPED = Path(__file__).resolve().parents[1] / "models" / "shipped" / "ztf"


def reference_alerts(data: Path) -> Dataset:
    frozen, decode = reference_objects(), ZtfDecoder()
    return Dataset.gather(
        (
            Example(prepare(alert).arrays, None, alert.object_id)
            for message in open_archive(data / "ztf_unlabelled")
            for alert in decode(message.value)
            if isinstance(alert, ZtfAlert) and alert.object_id in frozen
        ),
        CLASSES,
    )


class Components:
    """The mean stamp and the first principal components of some stamps, masked pixels taken as 0."""

    def __init__(self, dataset: Dataset, weight: torch.Tensor, count: int) -> None:
        self.weight, self.view = weight, weight.shape[-1]
        stamps = self._flat(dataset)
        self.mean = stamps.mean(0)
        self.axes = torch.linalg.svd(stamps - self.mean, full_matrices=False)[2][:count]

    def _flat(self, dataset: Dataset) -> torch.Tensor:
        stamps = torch.from_numpy(np.asarray(dataset.arrays["stamps"], dtype=np.float32))
        return (central_crop(stamps, self.view) * self.weight.sqrt()).flatten(1)

    def errors(self, dataset: Dataset) -> tuple[float, float]:
        """Return the mean error of the mean stamp, and that of the components."""
        flat = self._flat(dataset)
        coded = (flat - self.mean) @ self.axes.T @ self.axes + self.mean
        return self._error(self.mean.expand_as(flat), dataset), self._error(coded, dataset)

    def _error(self, flat: torch.Tensor, dataset: Dataset) -> float:
        rebuilt = flat.reshape(-1, 3, self.view, self.view) / self.weight.sqrt()
        stamps, masks = (torch.from_numpy(np.asarray(dataset.arrays[n], dtype=np.float32)) for n in ("stamps", "masks"))
        weights = central_crop(masks, self.view) * self.weight
        loss = torch.sqrt((rebuilt - central_crop(stamps, self.view)) ** 2 + 1.0) - 1.0
        return float(((loss * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3)).clamp(min=1e-6)).mean())


def mean_error(network: ZtfNetwork, dataset: Dataset) -> float:
    return float(stamp_errors(network, dataset, np.arange(len(dataset))).mean())


def tuned(network: ZtfNetwork, parts: list[Dataset], config: RedrawingConfig) -> ZtfNetwork:
    found = copy.deepcopy(network)
    redraw(found, parts, config)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[1].parent / "shared" / "data")
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--count", type=int, default=600, help="simulated alerts")
    parser.add_argument("--epochs", type=int, default=RedrawingConfig().epochs)
    given = parser.parse_args()
    torch.set_num_threads(1)
    network = load_network(given.model, read_card(given.model))
    config = RedrawingConfig(epochs=given.epochs)
    real = real_alerts(given.data)
    known, other = (real.part(np.flatnonzero(which)) for which in (real.labels >= 0, real.labels < 0))
    reference, simulated = reference_alerts(given.data), simulated_alerts(given.count, 77).dataset
    weight, latent = network.stamp_decoder.weight, network.architecture.latent
    everything = Components(real, weight, latent)
    after = tuned(network, [known, other], config)
    print("| stamps | alerts | decoder as it is | tuned | mean stamp | components |\n|---|---|---|---|---|---|")
    for name, alerts in (("real, score reference", reference), ("simulated", simulated)):
        numbers = (mean_error(network, alerts), mean_error(after, alerts), *everything.errors(alerts))
        print(f"| {name} | {len(alerts)} | {' | '.join(f'{number:.4f}' for number in numbers)} |", flush=True)
    rows, sizes = [], []
    for split in splits(outer_folds(known.objects, known.labels)):
        train, test = known.part(split.train), known.part(split.test)
        floors = Components(_both(train, other), weight, latent).errors(test)
        rows.append((mean_error(network, test), mean_error(tuned(network, [train, other], config), test), *floors))
        sizes.append(len(test))
    numbers = np.average(rows, axis=0, weights=sizes)
    print(f"| real, labelled, out of fold | {sum(sizes)} | {' | '.join(f'{number:.4f}' for number in numbers)} |")


def _both(one: Dataset, other: Dataset) -> Dataset:
    arrays = {name: np.concatenate([one.arrays[name], other.arrays[name]]) for name in one.arrays}
    joined = (np.concatenate([getattr(part, name) for part in (one, other)]) for name in ("labels", "objects"))
    return Dataset(arrays, *joined, one.classes)


if __name__ == "__main__":
    main()
