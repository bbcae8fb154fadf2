from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.reference import FEWEST, Reference, ScoreTable


@pytest.fixture
def scores() -> np.ndarray:
    return np.random.default_rng(0).exponential(2.0, 20_000)


def test_percentile_is_the_part_below(scores: np.ndarray) -> None:
    table = ScoreTable.fit(scores)
    for score in (0.1, 1.0, 3.0, 8.0):
        assert table.percentile(np.array([score]))[0] == pytest.approx((scores < score).mean(), abs=3e-3)


def test_the_tail_goes_on_as_the_distribution_does() -> None:
    shape, random = 0.4, np.random.default_rng(1)
    pareto = (random.random(20_000) ** -shape - 1) / shape
    table = ScoreTable.fit(pareto[:500])
    for part in (0.98, 0.995, 0.999):
        left = 1 - table.percentile(np.quantile(pareto, [part]))[0]
        assert left == pytest.approx(1 - part, rel=0.5)


def test_the_strangest_are_apart_in_single_precision(scores: np.ndarray) -> None:
    table = ScoreTable.fit(np.random.default_rng(2).uniform(0, 1, 150))
    ladder = table.percentile(np.linspace(1.0, 3.0, 20)).astype(np.float32)
    assert (np.diff(ladder) > 0).all()


def test_stranger_is_higher_even_beyond_the_reference(scores: np.ndarray) -> None:
    table = ScoreTable.fit(scores)
    ladder = table.percentile(np.linspace(0, scores.max() * 1.5, 500))
    assert (np.diff(ladder) > 0).all()
    assert ladder.max() < 1


def test_a_constant_score_still_ranks() -> None:
    table = ScoreTable.fit(np.full(100, 3.0))
    low, high = table.percentile(np.array([2.0, 4.0]))
    assert 0 <= low < high <= 1


def test_too_few_is_an_error() -> None:
    values = np.full(100, np.nan)
    values[: FEWEST - 1] = 1.0
    with pytest.raises(ModelError, match=f"has {FEWEST - 1} alerts"):
        ScoreTable.fit(values)


def test_anomaly_averages_the_scores_there_are(scores: np.ndarray) -> None:
    reference = Reference.fit(np.stack([scores, scores * 3], axis=1), ("a", "b"))
    median = float(np.median(scores))
    anomaly = reference.anomaly(np.array([[median, median * 3], [median, np.nan], [np.nan, np.nan], [1e9, 1e9]]))
    assert anomaly[:2] == pytest.approx([0.5, 0.5], abs=0.01)
    assert np.isnan(anomaly[2])
    assert 0.999 < anomaly[3] <= 1
    assert anomaly.dtype == np.float32


def test_the_combination_is_a_percentile_again() -> None:
    """The mean of seven independent percentiles hardly leaves the middle; its rank does."""
    random = np.random.default_rng(5)
    reference = Reference.fit(random.exponential(2.0, (20_000, 7)), tuple("abcdefg"))
    fresh = reference.anomaly(random.exponential(2.0, (20_000, 7)))
    for part in (0.05, 0.5, 0.9, 0.99):
        assert (fresh > part).mean() == pytest.approx(1 - part, abs=0.01)


def test_the_strangest_of_all_scores_stay_apart() -> None:
    random = np.random.default_rng(6)
    reference = Reference.fit(random.exponential(2.0, (150, 7)), tuple("abcdefg"))
    ladder = reference.anomaly(np.linspace(2.0, 9.0, 30)[:, None].repeat(7, axis=1))
    assert (np.diff(ladder) > 0).all()
    assert 0.999 < ladder[-1] < 1


def test_a_reference_without_a_ranked_combination_still_means_the_mean(scores: np.ndarray) -> None:
    fitted = Reference.fit(np.stack([scores, scores[::-1]], axis=1), ("a", "b"))
    older = replace(fitted, combination=None)
    again = Reference.from_card(json.loads(json.dumps(older.to_card())))
    assert again == older
    high = np.quantile(scores, 0.8)
    assert again.anomaly(np.array([[high, 0.0]]))[0] == pytest.approx(0.4, abs=0.01)


def test_only_the_combined_scores_count(scores: np.ndarray) -> None:
    both = np.stack([scores, scores], axis=1)
    reference = Reference.fit(both, ("a", "b"), combined=("b",))
    assert reference.anomaly(np.array([[1e9, 0.0]]))[0] < 0.01
    assert reference.id != Reference.fit(both, ("a", "b")).id
    with pytest.raises(ModelError, match="cannot combine c"):
        Reference.fit(both, ("a", "b"), combined=("c",))


def test_card_keeps_everything(scores: np.ndarray) -> None:
    reference = Reference.fit(scores[:, None], ("a",), source="150 alerts")
    again = Reference.from_card(json.loads(json.dumps(reference.to_card())))
    assert again == reference
    assert again.id == reference.id
    assert (again.size, again.source, again.combined) == (20_000, "150 alerts", ("a",))


def test_another_reference_has_another_id(scores: np.ndarray) -> None:
    assert Reference.fit(scores[:, None], ("a",)).id != Reference.fit(scores[1:, None], ("a",)).id


def test_a_damaged_reference_is_an_error(scores: np.ndarray) -> None:
    card = Reference.fit(scores[:, None], ("a",)).to_card()
    with pytest.raises(ModelError, match="by content but claims"):
        Reference.from_card({**card, "size": 7})
    with pytest.raises(ModelError, match="cannot be read"):
        Reference.from_card({"tables": 3})
