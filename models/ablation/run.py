"""One configuration and seed: trained on simulated alerts, tuned on real ones, measured on others of both kinds.

On real alerts no outer fold is ever tested: for each outer fold, the next one is predicted by a model that
was tuned on the other three. So every labelled alert is predicted once, by models that search may see. The
score reference is left out altogether.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from fulgor.models.ablation.configurations import Configuration
from fulgor.models.batches import Index, batch_of
from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import OUTER, Split, inner_splits, outer_folds
from fulgor.models.evaluation.result import Evaluation
from fulgor.models.finetuning import TuningConfig, Views, tune, views
from fulgor.models.fitting import TrainingConfig, fit, infer
from fulgor.models.training import new_network
from fulgor.models.ztf import ZtfNetwork

__all__ = ["PARTS", "Material", "measured", "parameters", "searched"]

PARTS = {"train": 0.7, "validation": 0.05, "test": 0.25}
"""Fractions of the simulated objects; the division is the same for all runs."""

STOPPING = {"train": 0.9, "validation": 0.1}
"""Fractions of the real objects where nothing is trained on simulated ones."""

REHEARSED = 700
"""Simulated alerts that the tuning is reminded of, at most."""


@dataclass(frozen=True, slots=True)
class Material:
    """What all runs share.

    Parameters
    ----------
    simulated : Dataset
        Labelled simulated alerts.
    real : AlertSet
        Labelled real alerts.
    unlabelled : Dataset
        Real alerts of other objects, none of them of the score reference.
    ignored : tuple of int
        Features that no network sees.
    """

    simulated: Dataset
    real: AlertSet
    unlabelled: Dataset
    ignored: tuple[int, ...] = ()


def searched(folds: Index) -> Iterator[Split]:
    """Yield, for each outer fold k, the division of the others that tests fold k + 1 and trains on the other three."""
    for fold in range(OUTER):
        yield from (split for split in inner_splits(folds, fold) if split.fold == (fold + 1) % OUTER)


def measured(configuration: Configuration, seed: int, material: Material) -> dict[str, Evaluation]:
    """Run a configuration with a seed.

    Parameters
    ----------
    configuration : Configuration
        What to run.
    seed : int
        Of weights and draws; data and divisions are the same for all seeds.
    material : Material
        What to run it on.

    Returns
    -------
    dict of str to Evaluation
        ``real``, and ``simulated`` unless the configuration is trained on real alerts only. Both say under
        ``about`` what was run, its weights, and the seconds of processor time of it all.
    """
    begun = time.process_time()
    run = _Run(configuration, seed, material)
    found = {"real": run.real()}
    if run.base:
        found["simulated"] = run.simulated(run.base)
    about = {
        "configuration": configuration.name,
        "axis": configuration.axis,
        "seed": seed,
        "seconds": round(time.process_time() - begun, 1),
        "parameters": parameters(run.example, material.simulated),
        "training": asdict(run.training),
        "tuning": asdict(run.tuning),
    }
    return {kind: replace(one, about=about) for kind, one in found.items()}


def parameters(network: ZtfNetwork, dataset: Dataset) -> int:
    """Return how many weights the probabilities depend on: not those of decoders, nor of parts that are not seen."""
    weights = list(network.requires_grad_(True).parameters())
    told = network(*batch_of(dataset, np.arange(2))[:5]).probabilities[:, 0].sum()
    slopes = torch.autograd.grad(told, weights, allow_unused=True)
    return sum(weight.numel() for weight, slope in zip(weights, slopes, strict=True) if slope is not None)


class _Run:
    """The networks of one run, and what they say.

    Attributes
    ----------
    base : ZtfNetwork or None
        Trained on simulated alerts.
    example : ZtfNetwork
        The last network that was trained.
    """

    example: ZtfNetwork

    def __init__(self, configuration: Configuration, seed: int, material: Material) -> None:
        self.name = f"{configuration.name}, seed {seed}"
        self.training: TrainingConfig = replace(configuration.training, seed=seed, ignored=material.ignored)
        self.tuning: TuningConfig = replace(configuration.tuning, seed=seed)
        self.material = material
        self.parts = material.simulated.split(PARTS, 0)
        self.base = self._trained(material.simulated, self.parts) if configuration.pretrained else None

    def _trained(self, dataset: Dataset, parts: dict[str, Index]) -> ZtfNetwork:
        torch.manual_seed(self.training.seed)
        self.example = new_network(dataset, parts["train"], self.training)
        fit(self.example, dataset, parts, self.training, lambda _: None)
        return self.example

    def simulated(self, base: ZtfNetwork) -> Evaluation:
        """Return the evaluation on simulated objects that were held out."""
        dataset, held = self.material.simulated, self.parts["test"]
        index = held[dataset.labels[held] != UNLABELLED]
        told = infer(base, dataset, index)["probabilities"]
        return self._evaluation(dataset, index.astype(str), index, np.zeros_like(index), told)

    def real(self) -> Evaluation:
        """Return the evaluation on real alerts, over the inner divisions."""
        alerts = self.material.real
        known, dataset = alerts.labelled, alerts.dataset.part(alerts.labelled)
        folds = outer_folds(dataset.objects, dataset.labels)
        told = np.zeros((len(dataset), len(dataset.classes)), dtype=np.float32)
        seen = self._views(self.base, dataset) if self.base else None
        rehearsal = self._rehearsal(self.base) if self.base else None
        for split in searched(folds):
            base = self.base or self._of_real(dataset.part(split.train))
            real, unlabelled = seen or self._views(base, dataset)
            network = tune(base, real.part(torch.from_numpy(split.train)).joined(unlabelled), rehearsal, self.tuning)
            told[split.test] = _told(network, real.part(torch.from_numpy(split.test)))
        return self._evaluation(dataset, alerts.ids[known], np.arange(len(dataset)), folds, told)

    def _of_real(self, labelled: Dataset) -> ZtfNetwork:
        """Return a network that was trained on real alerts alone."""
        dataset = labelled.joined(self.material.unlabelled)
        return self._trained(dataset, dataset.split(STOPPING, 0))

    def _views(self, base: ZtfNetwork, dataset: Dataset) -> tuple[Views, Views]:
        """Return the labelled real alerts, and the others."""
        with torch.no_grad():
            return self._seen(base, dataset), self._seen(base, self.material.unlabelled).unlabelled()

    def _rehearsal(self, base: ZtfNetwork) -> Views:
        chosen = np.random.default_rng(0).permutation(self.parts["train"])[:REHEARSED]
        return self._seen(base, self.material.simulated.part(np.sort(chosen)), 1)

    def _seen(self, base: ZtfNetwork, dataset: Dataset, count: int | None = None) -> Views:
        how = self.tuning
        return views(base, dataset, np.arange(len(dataset)), how.augmentation, count or how.count, how.seed)

    def _evaluation(
        self, dataset: Dataset, ids: NDArray[np.str_], index: Index, folds: Index, told: NDArray[np.float32]
    ) -> Evaluation:
        probabilities = told.astype(np.float64)
        return Evaluation(
            name=self.name,
            classes=dataset.classes,
            ids=ids,
            objects=dataset.objects[index],
            labels=dataset.labels[index],
            folds=folds,
            probabilities=probabilities / probabilities.sum(axis=1, keepdims=True),
        )


@torch.no_grad()
def _told(network: ZtfNetwork, alerts: Views) -> NDArray[np.float32]:
    """Return the probabilities of alerts, their stamps as they are."""
    batch = alerts.batch
    latent = network.combined(alerts.latents[:, 0], batch.sequence, batch.sequence_mask, batch.features)
    found: NDArray[np.float32] = torch.softmax(network.classifier(latent), dim=1).numpy()
    return found
