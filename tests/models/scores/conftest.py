"""Latents of three classes, and a suite fitted to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from fulgor.models.scores import centres, flow
from fulgor.models.scores.suite import ScoreSuite

SIZE = 12


def make_latents(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three round clouds far apart, in a few of the latent's elements."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    latents = random.normal(0, 1, (count, SIZE)) * np.linspace(0.5, 2, SIZE)
    latents[:, :3] += 8 * np.eye(3)[labels]
    return latents.astype(np.float32), labels.astype(np.int64)


@pytest.fixture(scope="session")
def known() -> tuple[np.ndarray, np.ndarray]:
    return make_latents(400, 0)


@pytest.fixture(scope="session")
def held_out() -> np.ndarray:
    return make_latents(120, 1)[0]


@pytest.fixture(scope="session")
def strange() -> np.ndarray:
    """Alerts between the clouds."""
    return np.random.default_rng(2).normal(0, 1, (60, SIZE)).astype(np.float32) * 2 - 4


@contextmanager
def short_trainings() -> Iterator[None]:
    """A few steps are enough here, and here alone: other tests of this process train as users do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(centres, "STEPS", 90)
        patch.setattr(flow, "STEPS", 90)
        yield


@pytest.fixture(scope="module", autouse=True)
def _short() -> Iterator[None]:
    with short_trainings():
        yield


@pytest.fixture(scope="session")
def suite(known: tuple[np.ndarray, np.ndarray]) -> ScoreSuite:
    with short_trainings():
        return ScoreSuite.fit(*known, seed=4)
