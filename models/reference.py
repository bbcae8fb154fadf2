"""From raw scores to percentiles, against alerts that the training never saw.

A score means nothing alone. The reference keeps the quantiles of each score over held-out alerts; a
new score becomes the part of the reference that lies below it. From the 90th percentile on the tail is
continued as a generalised Pareto distribution, so that two alerts stranger than the whole reference are
still ranked. The percentiles of some scores are averaged, and the mean is ranked once more against the
means of the reference: that is ``anomaly``, so that 0.99 is one alert in a hundred, however many scores agree.
Pure numpy: a CPU consumer applies it after the exported graph.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ModelError

__all__ = ["FEWEST", "Reference", "ScoreTable"]

FEWEST = 20
"""A quantile table of fewer alerts than this would be noise."""

TAIL_START = 0.9
"""The tail is fitted to the excesses above this quantile."""

LEVELS = tuple(np.linspace(0.0, TAIL_START, 46).tolist())

SHAPES = (0.2, 0.9)
"""Range of the tail's shape. A few excesses do not tell it well: a tail at least this heavy claims no
percentile that they do not bear out, and keeps strange alerts apart in single precision, in which an
exponential one ends at 14 scales."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Quantiles of one score.

    Parameters
    ----------
    size : int
        Reference alerts that have this score.
    values : tuple of float
        The score at :data:`LEVELS`.
    scale, shape : float
        Of the tail; the scale is in units of the score.
    """

    size: int
    values: tuple[float, ...]
    scale: float
    shape: float

    @classmethod
    def fit(cls, scores: Floats, name: str = "") -> Self:
        """Return the table of the score of this name, NaN left out.

        Raises
        ------
        ModelError
            Fewer than :data:`FEWEST` finite scores.
        """
        known = np.asarray(scores, dtype=np.float64)
        known = known[np.isfinite(known)]
        if len(known) < FEWEST:
            raise ModelError(
                f"the reference has {len(known)} alerts with the score {name!r} and needs {FEWEST}; "
                "hold out more alerts, or take a larger archive"
            )
        values = np.quantile(known, LEVELS)
        scale, shape = _pareto(known[known > values[-1]] - values[-1])
        floor = max(1e-6 * float(np.ptp(known)), 1e-12)
        return cls(len(known), tuple(values.tolist()), max(scale, floor), shape)

    def percentile(self, scores: Floats) -> Floats:
        """Return the part of the reference below each score, in [0, 1); NaN stays NaN."""
        inside = np.interp(scores, self.values, LEVELS)
        beyond = np.maximum(np.asarray(scores, dtype=np.float64) - self.values[-1], 0.0)
        left = (1.0 - TAIL_START) * (1.0 + self.shape * beyond / self.scale) ** (-1.0 / self.shape)
        return np.where(beyond > 0, 1.0 - left, inside)

    def to_card(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        return asdict(self)

    @classmethod
    def from_card(cls, fields: dict[str, Any]) -> Self:
        """Return the table that JSON values hold."""
        return cls(int(fields["size"]), tuple(fields["values"]), float(fields["scale"]), float(fields["shape"]))


def _surprise(mean: Floats) -> Floats:
    """Return -log(1 - mean): a mean of percentiles ends at 1, and only what has no end has a tail to continue."""
    return -np.log1p(-np.minimum(mean, 1.0 - 1e-12))


def _pareto(excess: Floats) -> tuple[float, float]:
    """Return scale and shape by probability-weighted moments (Hosking & Wallis 1987, doi:10.2307/1269343)."""
    if not len(excess):
        return 0.0, SHAPES[0]
    ordered = np.sort(excess)
    position = (np.arange(1, len(ordered) + 1) - 0.35) / len(ordered)
    mean = float(ordered.mean())
    lower = float(((1.0 - position) * ordered).mean())
    shape = 2.0 - mean / (mean - 2.0 * lower) if mean > 2.0 * lower else SHAPES[1]
    shape = min(max(shape, SHAPES[0]), SHAPES[1])
    return mean * (1.0 - shape), shape  # the mean excess is scale / (1 - shape)


@dataclass(frozen=True, slots=True)
class Reference:
    """The quantile tables of a model's scores.

    Parameters
    ----------
    size : int
        Alerts in the reference.
    source : str
        What alerts these are.
    tables : dict of str to ScoreTable
        By score, in the order of the model's output.
    combined : tuple of str
        The scores whose percentiles are averaged into ``anomaly``.
    combination : ScoreTable, optional
        Quantiles of that mean's surprise; None where a single score is combined, whose percentile needs no
        second ranking, and in references made before there was one.
    """

    size: int
    source: str
    tables: dict[str, ScoreTable]
    combined: tuple[str, ...]
    combination: ScoreTable | None = None

    @classmethod
    def fit(
        cls, scores: Floats, names: Sequence[str], *, source: str = "held out", combined: Sequence[str] | None = None
    ) -> Self:
        """Return the reference of scores (N, k).

        Parameters
        ----------
        scores : ndarray
            (N, k), NaN where a score could not be had.
        names : sequence of str
            (k,).
        source : str
            What alerts these are.
        combined : sequence of str, optional
            The scores that make ``anomaly``; default: all.

        Raises
        ------
        ModelError
            A score has too few values, or a combined one is none of the scores.
        """
        chosen = tuple(names if combined is None else combined)
        if not chosen or not set(chosen) <= set(names):
            raise ModelError(f"cannot combine {', '.join(chosen) or 'nothing'}: the scores are {', '.join(names)}")
        tables = {name: ScoreTable.fit(scores[:, k], name) for k, name in enumerate(names)}
        plain = cls(len(scores), source, tables, chosen)
        if len(chosen) == 1:
            return plain
        return replace(plain, combination=ScoreTable.fit(_surprise(plain._mean(scores)), "anomaly"))

    @property
    def id(self) -> str:
        """Content hash: stands beside each percentile, and is no part of the model's hash."""
        return hashlib.sha256(json.dumps(self._fields(), sort_keys=True).encode()).hexdigest()[:16]

    def percentiles(self, scores: Floats) -> Floats:
        """Return the percentile of each score, (N, k)."""
        columns = [table.percentile(scores[:, k]) for k, table in enumerate(self.tables.values())]
        return np.stack(columns, axis=1)

    def anomaly(self, scores: Floats) -> NDArray[np.float32]:
        """Return the rank of the mean percentile over the combined scores that an alert has, (N,); NaN where none."""
        mean = self._mean(scores)
        rank = mean if self.combination is None else self.combination.percentile(_surprise(mean))
        return rank.astype(np.float32)

    def _mean(self, scores: Floats) -> Floats:
        chosen = [k for k, name in enumerate(self.tables) if name in self.combined]
        ranks = self.percentiles(scores)[:, chosen]
        known = np.isfinite(ranks)
        count = known.sum(axis=1)
        mean = np.where(known, ranks, 0.0).sum(axis=1) / np.maximum(count, 1)
        return np.where(count > 0, mean, math.nan)

    def _fields(self) -> dict[str, Any]:
        tables = {name: table.to_card() for name, table in self.tables.items()}
        fields = {"size": self.size, "source": self.source, "combined": self.combined, "tables": tables}
        return fields if self.combination is None else {**fields, "combination": self.combination.to_card()}

    def to_card(self) -> dict[str, Any]:
        """Return the reference as JSON values, its id among them."""
        return {"id": self.id, **self._fields()}

    @classmethod
    def from_card(cls, fields: dict[str, Any]) -> Self:
        """Return the reference that a card holds.

        Raises
        ------
        ModelError
            It is damaged, or its content does not match its id.
        """
        try:
            tables = {name: ScoreTable.from_card(table) for name, table in fields["tables"].items()}
            size, source, combined = int(fields["size"]), str(fields["source"]), tuple(fields["combined"])
            combination = ScoreTable.from_card(fields["combination"]) if "combination" in fields else None
            reference, claimed = cls(size, source, tables, combined, combination), fields["id"]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the card's reference cannot be read ({error!r}); fit it again") from error
        if reference.id != claimed:
            raise ModelError(f"the card's reference is {reference.id} by content but claims {claimed}; fit it again")
        return reference
