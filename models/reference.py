"""From raw scores to percentiles, against alerts that the training never saw.

A score means nothing alone. The reference keeps the quantiles of each score over held-out alerts; a
new score becomes the part of the reference that lies below it. Beyond the last quantile the tail is
continued as an exponential, so that two alerts stranger than the whole reference are still ranked.
Pure numpy: a CPU consumer applies it after the exported graph.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.errors import ModelError

__all__ = ["FEWEST", "Reference", "ScoreTable"]

FEWEST = 20
"""A quantile table of fewer alerts than this would be noise."""

TAIL_START = 0.95
"""The exponential tail is fitted to the mean excess above this quantile."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Quantiles of one score.

    Parameters
    ----------
    size : int
        Reference alerts that have this score.
    levels, values : tuple of float
        Probabilities (ascending, below 1) and the score at each.
    tail : float
        Scale of the exponential tail, in units of the score.
    """

    size: int
    levels: tuple[float, ...]
    values: tuple[float, ...]
    tail: float

    @classmethod
    def fit(cls, scores: Floats) -> ScoreTable:
        """Return the table of a score, NaN left out.

        Raises
        ------
        ModelError
            Fewer than :data:`FEWEST` finite scores.
        """
        known = np.asarray(scores, dtype=np.float64)
        known = known[np.isfinite(known)]
        if len(known) < FEWEST:
            raise ModelError(
                f"the reference has {len(known)} alerts with this score and needs {FEWEST}; "
                "hold out more alerts, or take a larger archive"
            )
        last = 1.0 / (len(known) + 1)
        body = np.linspace(0.0, 0.9, 46)
        levels = np.concatenate([body, 1.0 - np.geomspace(0.1, last, 33)[1:]])
        values = np.quantile(known, levels)
        threshold = float(np.quantile(known, TAIL_START))
        excess = known[known > threshold] - threshold
        tail = float(excess.mean()) if len(excess) else 0.0
        floor = max(1e-6 * float(np.ptp(known)), 1e-12)
        return cls(len(known), tuple(levels.tolist()), tuple(values.tolist()), max(tail, floor))

    def percentile(self, scores: Floats) -> Floats:
        """Return the part of the reference below each score, in [0, 1); NaN stays NaN."""
        inside = np.interp(scores, self.values, self.levels)
        beyond = np.maximum(np.asarray(scores, dtype=np.float64) - self.values[-1], 0.0)
        left = (1.0 - self.levels[-1]) * np.exp(-beyond / self.tail)
        return np.where(beyond > 0, 1.0 - left, inside)


@dataclass(frozen=True, slots=True)
class Reference:
    """The quantile tables of a model's scores.

    Parameters
    ----------
    size : int
        Alerts in the reference.
    tables : dict of str to ScoreTable
        By score, in the order of the model's output.
    """

    size: int
    tables: dict[str, ScoreTable]

    @classmethod
    def fit(cls, scores: Floats, names: Sequence[str]) -> Reference:
        """Return the reference of scores (N, k); ModelError where a score has too few values."""
        return cls(len(scores), {name: ScoreTable.fit(scores[:, k]) for k, name in enumerate(names)})

    @property
    def id(self) -> str:
        """Content hash: stands beside each percentile, and is no part of the model's hash."""
        return hashlib.sha256(json.dumps(self._fields(), sort_keys=True).encode()).hexdigest()[:16]

    def percentiles(self, scores: Floats) -> Floats:
        """Return the percentile of each score, (N, k)."""
        columns = [table.percentile(scores[:, k]) for k, table in enumerate(self.tables.values())]
        return np.stack(columns, axis=1)

    def anomaly(self, scores: Floats) -> NDArray[np.float32]:
        """Return the mean percentile over the scores that an alert has, (N,); NaN where it has none."""
        ranks = self.percentiles(scores)
        known = np.isfinite(ranks)
        count = known.sum(axis=1)
        mean = np.where(known, ranks, 0.0).sum(axis=1) / np.maximum(count, 1)
        return np.where(count > 0, mean, math.nan).astype(np.float32)

    def _fields(self) -> dict[str, Any]:
        tables = {
            name: {"size": t.size, "levels": t.levels, "values": t.values, "tail": t.tail}
            for name, t in self.tables.items()
        }
        return {"size": self.size, "tables": tables}

    def to_card(self) -> dict[str, Any]:
        """Return the reference as JSON values, its id among them."""
        return {"id": self.id, **self._fields()}

    @classmethod
    def from_card(cls, fields: dict[str, Any]) -> Reference:
        """Return the reference that a card holds.

        Raises
        ------
        ModelError
            It is damaged, or its content does not match its id.
        """
        try:
            tables = {
                name: ScoreTable(int(t["size"]), tuple(t["levels"]), tuple(t["values"]), float(t["tail"]))
                for name, t in fields["tables"].items()
            }
            reference, claimed = cls(int(fields["size"]), tables), fields["id"]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the card's reference cannot be read ({error!r}); fit it again") from error
        if reference.id != claimed:
            raise ModelError(f"the card's reference is {reference.id} by content but claims {claimed}; fit it again")
        return reference
