"""How the model of real alerts is made, as a method that can be measured by cross-validation.

The same steps make the model that ships and those that its figures come from: only the labelled alerts
that they are given differ.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fulgor.models.batches import Index
from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.result import Evaluation
from fulgor.models.evaluation.rulers import MetadataBaseline
from fulgor.models.finetuning import TuningConfig, Views, tune, views
from fulgor.models.fitting import infer
from fulgor.models.layout import SCORES
from fulgor.models.reference import Reference
from fulgor.models.training import TrainedModel, best_temperature
from fulgor.models.ztf import ZtfNetwork

__all__ = ["FineTuned", "FineTuning", "calibrated", "tuned_model"]

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
    """

    name = "fulgor ztf"

    def __init__(self, base: ZtfNetwork, unlabelled: Dataset, simulated: Dataset, config: TuningConfig) -> None:
        self.base, self.config = base, config
        self._unlabelled = self._views(unlabelled, np.arange(len(unlabelled))).unlabelled()
        chosen = np.random.default_rng(config.seed).permutation(len(simulated))[:REHEARSED]
        self._simulated = self._views(simulated, np.sort(chosen), count=1)
        self._seen: tuple[Dataset, Views] | None = None

    def fit(self, alerts: AlertSet, train: Index) -> FineTuned:
        """Tune on the labelled ones of some alerts; :func:`calibrated` does the rest."""
        return FineTuned(self.fitted(alerts.dataset, train))

    def fitted(self, dataset: Dataset, train: Index) -> ZtfNetwork:
        """Return the network, not calibrated, that is tuned on the labelled ones of some alerts."""
        labelled = train[dataset.labels[train] != UNLABELLED]
        real = self._known(dataset).part(torch.from_numpy(labelled)).joined(self._unlabelled)
        network = tune(self.base, real, self._simulated, self.config)
        latents = torch.from_numpy(infer(network, dataset, labelled)["latent"])
        network.distance.fit(latents, torch.from_numpy(np.asarray(dataset.labels[labelled])))
        return network

    def _known(self, dataset: Dataset) -> Views:
        """Return the views of all alerts of a data set: the encoder is frozen, so no label is in them."""
        if self._seen is None or self._seen[0] is not dataset:
            self._seen = dataset, self._views(dataset, np.arange(len(dataset)))
        return self._seen[1]

    def _views(self, dataset: Dataset, index: Index, count: int | None = None) -> Views:
        config = self.config
        return views(self.base, dataset, index, config.augmentation, count or config.count, config.seed)


def calibrated(found: Evaluation) -> tuple[Evaluation, float]:
    """Return an evaluation with calibrated probabilities, and the temperature for a model of all its alerts.

    The temperature of each fold is fitted to the probabilities of the other folds.
    """
    probabilities = np.empty_like(found.probabilities)
    for fold in np.unique(found.folds):
        here = found.folds == fold
        probabilities[here] = _cooled(found.probabilities[here], _temperature(found, ~here))
    return replace(found, probabilities=probabilities), _temperature(found, np.ones(len(found), dtype=bool))


def _temperature(found: Evaluation, chosen: NDArray[np.bool_]) -> float:
    labels = torch.from_numpy(found.labels[chosen])
    logits = torch.from_numpy(np.log(found.probabilities[chosen].clip(1e-12)))
    counts = torch.bincount(labels, minlength=len(found.classes))
    balance = torch.where(counts > 0, 1.0 / counts.clamp(min=1), 0.0).double()
    return best_temperature(logits, labels, balance)


def _cooled(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return what softmax gives for the same logits at another temperature."""
    powers = probabilities.clip(1e-12) ** (1.0 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def tuned_model(
    method: FineTuning, dataset: Dataset, reference: Dataset, metrics: dict[str, Any], temperature: float
) -> TrainedModel:
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
    temperature : float
        From the same, see :func:`calibrated`.
    """
    everything = np.arange(len(dataset))
    network = method.fitted(dataset, everything)
    network.temperature.fill_(temperature)
    scores = infer(network, reference, np.arange(len(reference)))["scores"]
    config = method.config
    baseline = MetadataBaseline(dataset, everything)
    split = {
        "by": "object",
        "seed": config.seed,
        "parts": {"train": dataset.counts(everything), "reference": reference.counts(np.arange(len(reference)))},
    }
    return TrainedModel(network, baseline, Reference.fit(scores, SCORES), metrics, split, asdict(config))
