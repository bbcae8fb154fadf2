"""Chunks of several pulses as arrays; flashes are never parted."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.leela.dataset import PARTS, ChunkExample, LeelaDataset


def example(pulses: int, label: str | None, flash: str) -> ChunkExample:
    arrays = {"windows": np.full((pulses, 2, 256), pulses, np.float32), "scalars": np.ones((pulses, 8), np.float32)}
    return ChunkExample(arrays, label, flash)


@pytest.fixture
def dataset() -> LeelaDataset:
    return LeelaDataset.gather(
        example(1 + n % 3, ("noise", "cloud", None)[n % 3], f"flash{n // 4}") for n in range(240)
    )


def test_taking_chunks_takes_their_pulses(dataset):
    windows, scalars, place = dataset.take(np.array([2, 0, 5]))
    assert windows.shape == (3 + 1 + 3, 2, 256)
    assert (place >= 0).sum(axis=1).tolist() == [3, 1, 3]
    assert scalars.shape == (3, 8, 8)
    for row, count in enumerate((3, 1, 3)):
        assert (windows[place[row, :count]] == count).all()


def test_parts_share_no_flash_and_cover_everything(dataset):
    parts = dataset.split(0)
    flashes = [set(dataset.flashes[index].tolist()) for index in parts.values()]
    assert not any(a & b for n, a in enumerate(flashes) for b in flashes[n + 1 :])
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(dataset)))
    assert len(parts) == len(PARTS)


def test_unknown_labels_count_as_unlabelled(dataset):
    assert dataset.counts(np.arange(240))["unlabelled"] == 80


def test_nothing_to_train_on_is_said():
    with pytest.raises(ModelError, match="no chunk"):
        LeelaDataset.gather([])
