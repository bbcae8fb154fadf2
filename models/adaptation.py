"""How the model of real alerts is made, as a method that can be measured by cross-validation.

The same steps make the model that ships and those that its figures come from: only the labelled alerts
that they are given differ.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fulgor.models.batches import Index
from fulgor.models.calibration import best_temperature, class_balance
from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import outer_folds, splits
from fulgor.models.evaluation.rulers import MetadataBaseline
from fulgor.models.finetuning import TuningConfig, Views, tune, views
from fulgor.models.fitting import infer
from fulgor.models.layout import SCORES
from fulgor.models.redrawing import Redrawing, RedrawingConfig, redraw
from fulgor.models.reference import Reference
from fulgor.models.training import TrainedModel
from fulgor.models.ztf import ZtfNetwork

__all__ = ["FineTuned", "FineTuning", "tuned_model"]

REHEARSED = 2500
"""Simulated alerts that the tuning is reminded of, at most."""


@dataclass(frozen=True)
class FineTuned:
    """A tuned network; see :class:`fulgor.models.evaluation.validation.Predictor`."""

    network: ZtfNetwork

    def predict_proba(self, alerts: AlertSet, index: Index) -> NDArray[np.float64]:
        """Return the class probabilities (n, classes) of some alerts."""
        found = infer(self.network, alerts.dataset, index)["probabilities"].astype(np.float64)
        return np.asarray(found / found.sum(axis=1, keepdims=True))


class FineTuning:
    """The tuning of a base model; see :class:`fulgor.models.evaluation.validation.Method`.

    Parameters
    ----------
    base : ZtfNetwork
        Trained on simulated alerts.
    unlabelled : Dataset
        Real alerts without a label, of other objects than those that are measured.
    simulated : Dataset
        Labelled simulated alerts that the tuning is reminded of.
    config : TuningConfig
        How.
    history : bool
        Whether the tuned model is to be one of stored history.
    redrawing : RedrawingConfig, optional
        How the stamp decoder of the model that is kept learns real stamps.
    """

    name = "fulgor ztf"

    def __init__(
        self, base: ZtfNetwork, unlabelled: Dataset, simulated: Dataset, config: TuningConfig, *,
        history: bool = False, redrawing: RedrawingConfig | None = None,
    ) -> None:  # fmt: skip
        self.base, self.config, self.history = base, config, history
        self.redrawing, self._others = redrawing or RedrawingConfig(seed=config.seed), unlabelled
        self._unlabelled = self._views(unlabelled, np.arange(len(unlabelled))).unlabelled()
        chosen = np.random.default_rng(config.seed).permutation(len(simulated))[:REHEARSED]
        self._simulated = self._views(simulated, np.sort(chosen), count=1)
        self._seen: tuple[Dataset, Views] | None = None

    def fit(self, alerts: AlertSet, train: Index) -> FineTuned:
        """Tune and calibrate on the labelled ones of some alerts."""
        return FineTuned(self.fitted(alerts.dataset, train))

    def fitted(self, dataset: Dataset, train: Index) -> ZtfNetwork:
        """Return the network that is tuned on the labelled ones of some alerts, and calibrated on the same."""
        labelled = train[dataset.labels[train] != UNLABELLED]
        network = self._tuned(dataset, labelled)
        latents = torch.from_numpy(infer(network, dataset, labelled)["latent"])
        network.distance.fit(latents, torch.from_numpy(np.asarray(dataset.labels[labelled])))
        network.temperature.fill_(self._temperature(dataset, labelled))
        return network

    def redraw(self, network: ZtfNetwork, dataset: Dataset) -> Redrawing:
        """Tune the stamp decoder, in place, on the labelled ones of some alerts and on those without a label."""
        labelled = dataset.part(np.flatnonzero(dataset.labels != UNLABELLED))
        return redraw(network, [labelled, self._others], self.redrawing)

    def _tuned(self, dataset: Dataset, labelled: Index) -> ZtfNetwork:
        real = self._known(dataset).part(torch.from_numpy(labelled)).joined(self._unlabelled)
        return tune(self.base, real, self._simulated, self.config)

    def _temperature(self, dataset: Dataset, labelled: Index) -> float:
        """Return the temperature from models tuned on all but one fold of these alerts, each asked about the rest.

        A tuned network fits the alerts that it was tuned on, so they cannot tell how sure it may be.
        """
        folds = np.full(len(dataset), -1, dtype=np.int64)
        folds[labelled] = outer_folds(dataset.objects[labelled], np.asarray(dataset.labels[labelled]))
        logits, labels = [], []
        for split in splits(folds):
            asked = self._known(dataset).part(torch.from_numpy(split.test))
            logits.append(_logits(self._tuned(dataset, split.train), asked))
            labels.append(asked.batch.labels)
        told = torch.cat(labels)
        return best_temperature(torch.cat(logits), told, class_balance(dataset, labelled))

    def _known(self, dataset: Dataset) -> Views:
        """Return the views of all alerts of a data set: the encoder is frozen, so no label is in them."""
        if self._seen is None or self._seen[0] is not dataset:
            self._seen = dataset, self._views(dataset, np.arange(len(dataset)))
        return self._seen[1]

    def _views(self, dataset: Dataset, index: Index, count: int | None = None) -> Views:
        config, count = self.config, count or self.config.count
        return views(self.base, dataset, index, config.augmentation, count, config.seed, history=self.history)


@torch.no_grad()
def _logits(network: ZtfNetwork, asked: Views) -> Tensor:
    batch = asked.batch
    slots = asked.history.slots(torch.arange(len(asked.latents))) if asked.history else ()
    latent = network.combined(asked.latents[:, 0], batch.sequence, batch.sequence_mask, batch.features, *slots)
    logits: Tensor = network.classifier(latent)
    return logits


def tuned_model(method: FineTuning, dataset: Dataset, reference: Dataset, metrics: dict[str, Any]) -> TrainedModel:
    """Return the model that is tuned on all labelled alerts.

    Parameters
    ----------
    method : FineTuning
        How.
    dataset : Dataset
        Real alerts.
    reference : Dataset
        Real alerts that no training saw, for the percentiles of the scores.
    metrics : dict
        Figures of the same method by cross-validation.
    """
    everything = np.arange(len(dataset))
    network = method.fitted(dataset, everything)
    redrawn = method.redraw(network, dataset)  # no figure of the folds depends on the stamp decoder
    scores = infer(network, reference, np.arange(len(reference)))["scores"]
    config = method.config
    baseline = MetadataBaseline(dataset, everything)
    split = {
        "by": "object",
        "seed": config.seed,
        "parts": {"train": dataset.counts(everything), "reference": reference.counts(np.arange(len(reference)))},
    }
    settings = {**asdict(config), "redrawing": {**asdict(method.redrawing), "held_out_error": redrawn._asdict()}}
    return TrainedModel(network, baseline, Reference.fit(scores, SCORES), metrics, split, settings)
