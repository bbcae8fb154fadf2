from __future__ import annotations

import torch

from fulgor.models.metadata import BINS, MetadataEncoder


def fitted() -> MetadataEncoder:
    encoder = MetadataEncoder(features=2, code=4).eval()
    rising = torch.linspace(0, 1, 401)
    encoder.fit(torch.stack([rising, 1000 * rising**3], dim=1))
    return encoder


def test_a_feature_is_told_by_its_rank_whatever_its_scale() -> None:
    encoder = fitted()
    place = torch.tensor([0.1, 0.5, 0.9])
    code = encoder.encoding(torch.stack([place, 1000 * place**3], dim=1))
    assert code.shape == (3, 2, BINS)
    assert (code.sum(2)[:, 0] - code.sum(2)[:, 1]).abs().max() < 0.7  # linear within a bin
    assert code.sum(2)[:, 0].diff().min() > 0


def test_an_absurd_value_is_the_largest_one() -> None:
    encoder = fitted()
    code = encoder.encoding(torch.tensor([[1.0, 1000.0], [1e30, 1e30], [-1e30, 0.0]]))
    assert torch.equal(code[0], code[1])
    assert code[1].eq(1).all()
    assert code[2].eq(-1).all()


def test_a_feature_of_few_values_makes_finite_steps() -> None:
    encoder = MetadataEncoder(features=1, code=2)
    encoder.fit(torch.tensor([0.0, 0.0, 0.0, 1.0]).unsqueeze(1))
    code = encoder.encoding(torch.tensor([[0.0], [0.5], [1.0]]))
    assert torch.isfinite(code).all()
    assert code[0].sum() < code[1].sum() <= code[2].sum()


def test_ignored_features_are_zero() -> None:
    encoder = MetadataEncoder(features=3, code=2, ignored=(1,))
    code = encoder.encoding(torch.randn(5, 3))
    assert code[:, 1].abs().sum() == 0
    assert code[:, 0].abs().sum() > 0
