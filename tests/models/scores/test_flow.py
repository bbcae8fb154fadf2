from __future__ import annotations

import numpy as np
import pytest
import torch

from fulgor.models.scores import flow
from fulgor.models.scores.flow import Flow


def test_it_equals_the_flow_that_was_trained(
    known: tuple[np.ndarray, np.ndarray], strange: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    train = flow._train
    monkeypatch.setattr(flow, "_train", lambda rows: trained.append(train(rows)) or trained[0])
    served = Flow.fit(known[0], 0)
    for rows in (known[0], strange):
        with torch.no_grad():
            expected = -trained[0]().log_prob(torch.from_numpy(rows @ served.whitening)).numpy()
        assert served(rows) == pytest.approx(expected, rel=1e-5)


def test_the_density_of_a_normal_is_nearly_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "STEPS", 300)
    random = np.random.default_rng(0)
    rows = random.normal(0, 1, (2000, 4)).astype(np.float32)
    ours = Flow.fit(rows, 0)
    test = random.normal(0, 1, (500, 4))
    truth = 0.5 * (test**2).sum(1) + 2 * np.log(2 * np.pi)
    assert np.corrcoef(ours(test.astype(np.float32)), truth)[0, 1] > 0.95
    assert abs(ours(test.astype(np.float32)).mean() - truth.mean()) < 0.3


def test_it_learns_more_than_a_single_normal(known: tuple[np.ndarray, np.ndarray], strange: np.ndarray) -> None:
    score = Flow.fit(known[0], 0)
    assert np.median(score(strange)) > np.quantile(score(known[0]), 0.95)


def test_the_training_draws_leave_no_trace(known: tuple[np.ndarray, np.ndarray]) -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    Flow.fit(known[0][:80], 0)
    assert torch.equal(before, torch.random.get_rng_state())
