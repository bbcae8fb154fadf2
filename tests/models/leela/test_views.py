"""A pulse seen twice: near to itself, and nearest to itself where nothing has changed."""

from __future__ import annotations

import torch

from fulgor.models.leela.export import example
from fulgor.models.leela.views import contrast, second_view


def test_a_second_view_is_near_the_first_where_the_signal_is_strong():
    windows, _, _ = example(4)
    random = torch.Generator().manual_seed(1)
    views = torch.stack([second_view(windows, torch.full((len(windows),), 6.0), random) for _ in range(20)])
    assert views.shape == (20, *windows.shape)
    same = (views - windows).abs().amax(dim=(2, 3)) < 0.02
    assert same.any()
    assert not same.all()


def test_contrast_is_least_for_equal_views():
    codes = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    assert contrast(codes, codes, 0.2) < contrast(codes, codes.roll(1, 0), 0.2)
