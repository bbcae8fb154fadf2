from __future__ import annotations

import numpy as np
import pytest
import torch

from fulgor.models.baselines.clustering import Clustering, matched
from fulgor.models.baselines.lineup import clusterings
from fulgor.models.baselines.method import Budget, train
from fulgor.models.baselines.vade import Vade, bound, rebuilt, start
from fulgor.models.evaluation.alerts import AlertSet


def _blobs(count: int) -> torch.Tensor:
    """Return stamps of two kinds, small and wide."""
    y, x = torch.meshgrid(torch.arange(-10.0, 11), torch.arange(-10.0, 11), indexing="ij")
    wide = torch.where(torch.arange(count) % 2 == 0, 4.0, 40.0)[:, None, None]
    clean = torch.exp(-(x**2 + y**2) / wide)[:, None].expand(count, 3, 21, 21)
    return 0.95 * clean + 0.05 * torch.rand(clean.shape, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def _negative_bound(network: Vade, stamps: torch.Tensor) -> float:
    return float(bound(network, (stamps,), torch.zeros(len(stamps))))


def test_the_negative_bound_falls_and_responsibilities_are_shares() -> None:
    torch.manual_seed(0)
    stamps, network = _blobs(64), Vade(3)
    given = (stamps,), torch.zeros(64), torch.ones(64)
    train(network, *given, rebuilt, Budget(steps=15, batch=32), seconds=600)
    start(network, stamps, 0)
    before = _negative_bound(network, stamps)
    # One of three clusters has but a few of the stamps: longer steps would throw them out of it.
    train(network, *given, bound, Budget(steps=15, batch=32, rate=1e-4), seconds=600)
    assert _negative_bound(network, stamps) < before - 1
    shares = network(stamps).exp()
    assert shares.shape == (64, 3)
    assert shares.sum(1).detach() == pytest.approx(1, abs=1e-5)


def test_the_bound_is_that_of_a_single_gaussian_where_there_is_one() -> None:
    torch.manual_seed(0)
    network, stamps = Vade(1), _blobs(512)
    mean, log_variance = network.encode(stamps)
    divergence = 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum(1).mean()  # to the standard normal
    code = mean + (log_variance / 2).exp() * torch.randn_like(mean)
    told = torch.nn.functional.binary_cross_entropy_with_logits(
        network.decoder(code), stamps.flatten(1), reduction="none"
    )
    expected = told.sum(1).mean() + divergence
    assert _negative_bound(network, stamps) == pytest.approx(float(expected.detach()), rel=1e-4)


def test_the_start_is_a_mixture_of_the_codes() -> None:
    torch.manual_seed(0)
    network, stamps = Vade(2), _blobs(40)
    start(network, stamps, 0)
    means = network.encode(stamps)[0]
    kinds = torch.stack([means[::2].mean(0), means[1::2].mean(0)])
    assert torch.cdist(network.centres, kinds).min(1).values.max() < 1e-3 < torch.pdist(kinds)
    assert torch.softmax(network.weights, 0).detach() == pytest.approx(0.5, abs=1e-3)


def test_clusters_are_matched_one_to_one() -> None:
    clusters = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    labels = np.array([2, 2, 0, 2, 1, 2, 2, 0])
    assert matched(clusters, labels, 3).tolist() == [2, 1, 0]


def test_labels_outside_of_the_training_change_nothing(alerts: AlertSet) -> None:
    method = clusterings(Budget(seconds=60, steps=3, batch=8))[0]
    assert isinstance(method, Clustering)
    train_on, rest = np.arange(40), np.arange(40, 60)
    found = method.fit(alerts, train_on).predict_proba(alerts, rest)
    assert found.sum(1) == pytest.approx(1)
    alerts.dataset.labels.setflags(write=True)
    kept = alerts.labels[rest].copy()
    try:
        alerts.dataset.labels[rest] = (kept + 1) % 5
        assert (method.fit(alerts, train_on).predict_proba(alerts, rest) == found).all()
    finally:
        alerts.dataset.labels[rest] = kept
