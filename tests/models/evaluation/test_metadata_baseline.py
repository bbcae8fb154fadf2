from __future__ import annotations

from dataclasses import replace

import numpy as np

from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import outer_folds, splits
from fulgor.models.evaluation.rulers import MetadataBaseline


def test_it_uses_the_metadata_and_only_them(alerts: AlertSet) -> None:
    dataset = alerts.dataset
    folds = list(splits(outer_folds(alerts.objects, alerts.labels)))
    figures = [MetadataBaseline(dataset, split.train).measure(dataset, split.test) for split in folds]
    assert np.mean([told["accuracy"] for told in figures]) > 0.55
    split, told = folds[0], figures[0]
    blind = replace(dataset, arrays={**dataset.arrays, "stamps": np.zeros_like(dataset.arrays["stamps"])})
    assert MetadataBaseline(blind, split.train).measure(blind, split.test) == told
    scales = np.array(dataset.arrays["features"])
    scales[:, 23:] = 0  # of the stamps: no metadata
    blind = replace(dataset, arrays={**dataset.arrays, "features": scales})
    assert MetadataBaseline(blind, split.train).measure(blind, split.test) == told
