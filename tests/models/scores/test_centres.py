from __future__ import annotations

import numpy as np
import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.scores import centres
from fulgor.models.scores.centres import NEAR_ZERO, Centres


def test_it_equals_the_network_that_was_trained(
    known: tuple[np.ndarray, np.ndarray], strange: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoders = []
    fold = centres._folded
    monkeypatch.setattr(centres, "_folded", lambda encoder: encoders.append(encoder) or fold(encoder))
    served = Centres.fit(*known, 0)
    for rows in (known[0], strange):
        with torch.no_grad():
            projected = encoders[0](torch.from_numpy(rows)).numpy().astype(np.float64)
        expected = ((projected[:, None] - served.centres) ** 2).sum(2).min(1)
        assert served(rows) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_what_is_between_the_classes_is_far(known: tuple[np.ndarray, np.ndarray], strange: np.ndarray) -> None:
    score = Centres.fit(*known, 0)
    assert np.median(score(strange)) > np.quantile(score(known[0]), 0.95)
    assert len(score.centres) == 3


def test_unlabelled_alerts_and_classes_of_one_have_no_say(known: tuple[np.ndarray, np.ndarray]) -> None:
    latents, labels = known
    more = np.concatenate([latents, np.full((4, latents.shape[1]), 50.0, np.float32)])
    names = np.concatenate([labels, [-1, -1, -1, 7]])
    one, other = Centres.fit(latents, labels, 0), Centres.fit(more, names, 0)
    assert np.array_equal(one.centres, other.centres)
    assert np.array_equal(one(latents), other(latents))


def test_no_centre_lies_at_zero(known: tuple[np.ndarray, np.ndarray]) -> None:
    assert np.abs(Centres.fit(*known, 0).centres).min() >= NEAR_ZERO * 0.999


def test_nothing_labelled_is_an_error(known: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ModelError, match="no class has two labelled"):
        Centres.fit(known[0], np.full(len(known[0]), -1), 0)
