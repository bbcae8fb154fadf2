from __future__ import annotations

import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.scores.distance import ClassDistance, defined


def test_distance_is_mahalanobis_to_the_nearest_class() -> None:
    torch.manual_seed(0)
    spread = torch.tensor([1.0, 10.0])
    labels = torch.arange(4000) % 2
    latents = torch.randn(4000, 2) * spread + labels.unsqueeze(1) * torch.tensor([20.0, 0.0])
    distance = ClassDistance(2, 2)
    distance.fit(latents, labels)
    at_centres, off = (
        distance(torch.tensor([[0.0, 0.0], [20.0, 0.0]])),
        distance(torch.tensor([[0.0, 30.0], [0.0, 10.0]])),
    )
    assert at_centres.max() < 0.1
    assert off[0] == pytest.approx(9.0, rel=0.15)
    assert off[1] == pytest.approx(1.0, rel=0.15)


def test_a_class_without_members_is_never_nearest() -> None:
    torch.manual_seed(0)
    distance = ClassDistance(3, 2)
    distance.fit(torch.randn(50, 3), torch.zeros(50, dtype=torch.int64))
    assert distance(torch.randn(5, 3)).max() < 100
    assert torch.isfinite(distance(torch.full((1, 3), 1e3))).all()


def test_unlabelled_latents_move_no_centre() -> None:
    torch.manual_seed(0)
    latents, labels = torch.randn(60, 3), torch.arange(60) % 2
    one, other = ClassDistance(3, 2), ClassDistance(3, 2)
    one.fit(latents, labels)
    other.fit(torch.cat([latents, torch.full((5, 3), 99.0)]), torch.cat([labels, torch.full((5,), -1)]))
    assert torch.equal(one.centres, other.centres)


def test_nothing_labelled_is_an_error() -> None:
    with pytest.raises(ModelError, match="no class has two labelled"):
        ClassDistance(3, 2).fit(torch.randn(9, 3), torch.full((9,), -1))


def test_a_score_without_support_is_nan() -> None:
    score = defined(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 3.0]))
    assert score[0].isnan()
    assert score[1] == 2.0
