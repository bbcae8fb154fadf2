"""VaDE as a method: clusters found without labels, then named after classes by the labels of the training alerts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from fulgor.models.baselines.method import Budget, train
from fulgor.models.baselines.vade import Vade, bound, rebuilt, start
from fulgor.models.baselines.views import Stamps
from fulgor.models.dataset import UNLABELLED
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import Index

__all__ = ["Clustering", "matched"]


class Clustering:
    """As many clusters as classes; see :class:`fulgor.models.evaluation.validation.Method`.

    Half of a fit's time goes to the autoencoder, half to the bound; both see all alerts of the training
    folds, labelled or not, and no label. Its accuracy is the clustering accuracy (one cluster, one
    class, the best assignment), but the assignment is that of the training alerts.

    Parameters
    ----------
    name : str
        How the tables call it.
    stamps : callable
        Gives stamps from 0 to 1, (n, 3, 21, 21).
    budget : Budget
        Of the training.
    embedded : bool
        Without it the clusters are those of the mixture at the start, fitted to the autoencoder's codes;
        the autoencoder then has all the time.
    """

    def __init__(self, name: str, stamps: Stamps, budget: Budget, *, embedded: bool = True) -> None:
        self.name = name
        self._stamps, self._budget, self._embedded = stamps, budget, embedded

    def fit(self, alerts: AlertSet, train: Index) -> _Clusters:
        """Find clusters among some alerts, and match them with classes by the labelled ones."""
        network = self._found(torch.from_numpy(self._stamps(alerts, train)), len(alerts.dataset.classes))
        clusters = _Clusters(network, self._stamps, np.arange(len(network.weights)))
        known = train[alerts.labels[train] != UNLABELLED]
        told = clusters.predict_proba(alerts, known).argmax(1)
        return replace(clusters, classes=matched(told, alerts.labels[known], len(network.weights)))

    def _found(self, stamps: Tensor, count: int) -> Vade:
        torch.manual_seed(self._budget.seed)
        network = Vade(count)
        alike, unused = torch.ones(len(stamps)), torch.zeros(len(stamps))
        seconds = self._budget.seconds / (2 if self._embedded else 1)
        train(network, (stamps,), unused, alike, rebuilt, self._budget, seconds=seconds)
        start(network, stamps, self._budget.seed)
        if self._embedded:
            train(network, (stamps,), unused, alike, bound, self._budget, seconds=seconds)
        return network.eval()


@dataclass(frozen=True)
class _Clusters:
    network: Vade
    stamps: Stamps
    classes: Index

    @torch.no_grad()
    def predict_proba(self, alerts: AlertSet, index: Index) -> NDArray[np.float64]:
        """Return the responsibilities (n, classes), those of a cluster in the column of its class."""
        shares = self.network(torch.from_numpy(self.stamps(alerts, index))).double().exp().numpy()
        found = np.empty_like(shares)
        found[:, self.classes] = shares
        return np.asarray(found / found.sum(axis=1, keepdims=True))


def matched(clusters: Index, labels: Index, count: int) -> Index:
    """Return the class of each cluster, int64 (count,): the assignment that makes the most alerts right."""
    together = np.zeros((count, count), dtype=np.int64)
    np.add.at(together, (clusters, labels), 1)
    return np.asarray(linear_sum_assignment(together, maximize=True)[1], dtype=np.int64)
