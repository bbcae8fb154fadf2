"""All fitted scores of a model together: fitted at once, kept in one file, served in numpy.

The file is a safetensors file of plain arrays, named ``<score>/<array>``; the card names its hash and
the order of the scores. Nothing here imports torch: only fitting does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fulgor.errors import ModelError
from fulgor.models.scores.centres import Centres
from fulgor.models.scores.flow import Flow
from fulgor.models.scores.forest import Forest
from fulgor.models.scores.neighbours import Neighbours
from fulgor.models.scores.score import Arrays, Floats, Labels, Score

__all__ = ["COMBINED", "FITTED", "NEEDS", "ScoreSuite"]

FITTED: Final = ("centres", "flow", "forest", "neighbours")
"""The fitted scores, in the order of the model's output; they follow those of the network's graph."""

COMBINED: Final = ("reconstruction", "sequence", "distance", *FITTED)
"""The scores whose percentiles are averaged into ``anomaly``."""

NEEDS: Final[Mapping[str, str]] = {
    "reconstruction": "a valid pixel near the source",
    "sequence": "a detection before the alert",
    **dict.fromkeys(("distance", *FITTED), "a finite latent"),
}
"""What an alert lacks whose score is NULL."""

FEWEST: Final = 50
"""Nothing sensible can be fitted to fewer latents."""

FRAME: Final = "frame"


@dataclass(frozen=True, slots=True)
class ScoreSuite:
    """The fitted scores and the frame in which they see a latent.

    Parameters
    ----------
    mean, spread : ndarray of float32
        (D,): of the training latents; the scores see latents in units of it.
    scores : mapping of str to Score
        In the order of :data:`FITTED`.
    """

    mean: Floats
    spread: Floats
    scores: Mapping[str, Score]

    @classmethod
    def fit(cls, latents: Floats, labels: Labels, *, seed: int = 0) -> Self:
        """Fit all scores to the latents that a network's training alerts have now that it is trained.

        Parameters
        ----------
        latents : ndarray
            (N, D): z_object. Rows that are not finite are left out.
        labels : ndarray
            int64 (N,): classes, negative where unknown.
        seed : int
            Fixes every draw.

        Raises
        ------
        ModelError
            Fewer than :data:`FEWEST` usable latents, or no class with two labelled ones.
        """
        usable = _finite(latents)
        latents, labels = latents[usable], labels[usable]
        if len(latents) < FEWEST:
            raise ModelError(f"{len(latents)} usable latents to fit scores to, {FEWEST} are needed; take more alerts")
        mean = latents.mean(axis=0, dtype=np.float64)
        spread = latents.std(axis=0, dtype=np.float64)
        suite = cls(mean.astype(np.float32), np.where(spread > 1e-6, spread, 1.0).astype(np.float32), {})
        rows = suite._framed(latents)
        fitted = (Centres.fit(rows, labels, seed), Flow.fit(rows, seed), Forest.fit(rows, seed))
        members: tuple[Score, ...] = (*fitted, Neighbours.fit(rows, seed))
        return cls(suite.mean, suite.spread, dict(zip(FITTED, members, strict=True)))

    def __call__(self, latents: Floats) -> Floats:
        """Return the scores (N, scores), float32, of latents (N, D); NaN where a latent is not finite."""
        usable = _finite(latents)
        rows = self._framed(np.where(usable[:, None], latents, 0.0))
        found = np.stack([score(rows) for score in self.scores.values()], axis=1)
        # An absurd latent may give what single precision cannot hold: no score either.
        storable = usable[:, None] & (np.abs(found) < np.finfo(np.float32).max)
        return np.where(storable, found, np.nan).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write the suite to a file."""
        arrays = {f"{FRAME}/mean": self.mean, f"{FRAME}/spread": self.spread}
        for name, score in self.scores.items():
            arrays |= {f"{name}/{part}": np.asarray(array, order="C") for part, array in score.arrays().items()}
        save_file(arrays, path)
        path.chmod(0o644)  # safetensors writes for the owner only

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the suite of a file.

        Raises
        ------
        ModelError
            The file is missing, damaged or no suite.
        """
        try:
            arrays = load_file(path)
            parts = {name: _part(arrays, name) for name in (FRAME, *FITTED)}
            scores: dict[str, Score] = {
                "centres": Centres.from_arrays(parts["centres"]),
                "flow": Flow.from_arrays(parts["flow"]),
                "forest": Forest(**parts["forest"]),
                "neighbours": Neighbours(**parts["neighbours"]),
            }
            return cls(parts[FRAME]["mean"], parts[FRAME]["spread"], scores)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path} does not hold this model's scores ({error!r}); fit them again") from error

    def _framed(self, latents: Floats) -> Floats:
        return np.asarray((latents - self.mean) / self.spread, dtype=np.float32)


def _finite(latents: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(latents).all(axis=1))


def _part(arrays: Mapping[str, Any], name: str) -> Arrays:
    prefix = f"{name}/"
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
