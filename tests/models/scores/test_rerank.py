from __future__ import annotations

import numpy as np
import pytest

from fulgor.models.scores.rerank import rerank


@pytest.fixture(scope="module")
def night() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two kinds of outliers beside a crowd, of which one kind is looked for; both are as strange."""
    random = np.random.default_rng(0)
    latents = random.normal(0, 1, (300, 6))
    kind = np.zeros(300, dtype=int)
    kind[:15], kind[15:30] = 1, 2
    latents[kind == 1, 0] += 7
    latents[kind == 2, 1] += 7
    return latents, kind, np.linalg.norm(latents, axis=1)


def test_with_no_judgement_the_score_decides(night: tuple[np.ndarray, ...]) -> None:
    latents, _, anomaly = night
    order = rerank(latents, anomaly, np.empty((0, 6)), np.empty(0, dtype=bool))
    assert np.array_equal(order, np.argsort(-anomaly, kind="stable"))


def test_a_few_judgements_bring_the_like_forward(night: tuple[np.ndarray, ...]) -> None:
    latents, kind, anomaly = night
    judged = np.array([0, 1, 2, 15, 16, 17, 18])
    rest = np.setdiff1d(np.arange(300), judged)
    order = rerank(latents[rest], anomaly[rest], latents[judged], kind[judged] == 1)
    first = kind[rest][order[:10]]
    before = kind[rest][np.argsort(-anomaly[rest])[:10]]
    assert (first == 1).sum() >= 6
    assert (first == 1).sum() > (before == 1).sum()
    assert sorted(order.tolist()) == list(range(len(rest)))


def test_the_seed_decides(night: tuple[np.ndarray, ...]) -> None:
    latents, kind, anomaly = night
    judged = (latents[:4], kind[:4] == 1)
    assert np.array_equal(rerank(latents, anomaly, *judged, seed=3), rerank(latents, anomaly, *judged, seed=3))


@pytest.mark.parametrize("count", [0, 1])
def test_a_night_without_alerts(count: int) -> None:
    order = rerank(np.zeros((count, 3)), np.zeros(count), np.ones((2, 3)), np.array([True, False]))
    assert order.tolist() == list(range(count))
