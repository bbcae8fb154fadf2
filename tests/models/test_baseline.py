from __future__ import annotations

import torch

from fulgor.models.baseline import MetadataBaseline
from fulgor.models.dataset import Dataset
from fulgor.models.training import PARTS


def test_it_uses_the_features_and_only_them(dataset: Dataset) -> None:
    parts = dataset.split(PARTS, 0)
    told = MetadataBaseline(dataset, parts["train"], torch.ones(5), seed=0).measure(dataset, parts["test"])
    assert told["accuracy"] > 0.6  # the features' mean grows with the class
    blind = Dataset(
        {**dataset.arrays, "features": dataset.arrays["features"] * 0}, dataset.labels, dataset.objects, dataset.classes
    )
    assert (
        MetadataBaseline(blind, parts["train"], torch.ones(5), seed=0).measure(blind, parts["test"])["accuracy"] < 0.4
    )
