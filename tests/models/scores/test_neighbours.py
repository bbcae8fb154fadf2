from __future__ import annotations

import numpy as np
import pytest

from fulgor.models.scores.neighbours import LARGEST, NEAREST, Neighbours


def test_it_is_the_mean_distance_to_the_nearest(known: tuple[np.ndarray, np.ndarray], strange: np.ndarray) -> None:
    score = Neighbours.fit(known[0], 0)
    every = np.linalg.norm(strange[:, None] - known[0], axis=2)
    assert score(strange) == pytest.approx(np.sort(every, axis=1)[:, :NEAREST].mean(axis=1), rel=1e-6)


def test_a_twin_is_near(known: tuple[np.ndarray, np.ndarray]) -> None:
    rows = np.repeat(known[0][:1], NEAREST, axis=0)
    assert Neighbours.fit(rows, 0)(rows)[0] == pytest.approx(0.0, abs=1e-5)


def test_fewer_alerts_than_neighbours(strange: np.ndarray) -> None:
    assert np.isfinite(Neighbours.fit(strange[:2], 0)(strange)).all()


def test_a_part_stands_for_many() -> None:
    latents = np.random.default_rng(0).normal(size=(LARGEST + 500, 3)).astype(np.float32)
    assert Neighbours.fit(latents, 0).rows.shape == (LARGEST, 3)
