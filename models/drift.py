"""How far alerts lie from those that a model was measured on: the energy distance of their latents.

A sample of the held-out alerts stays with the model, in a file of its own: latents and raw scores. It is
no part of the model's hash, for no result depends on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fulgor.errors import ModelError
from fulgor.models.card import CARD, read_card, write_card
from fulgor.models.reference import Reference

__all__ = ["FEWEST", "LARGEST_SAMPLE", "SAMPLE", "Comparison", "Sample", "attach_sample", "compare", "read_reference"]

SAMPLE: Final = "sample.safetensors"
"""Name of the file in a model's folder."""

LARGEST_SAMPLE: Final = 1000
"""Alerts of a sample; more would cost time and tell little."""

FEWEST: Final = 20
"""Fewer alerts than this are compared with nothing."""

PERMUTATIONS: Final = 199
_BEYOND = 0.99

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Sample:
    """Held-out alerts of a model.

    Parameters
    ----------
    latents : ndarray
        float32 (N, D).
    scores : ndarray
        float32 (N, k): raw, NaN where a score could not be had.
    """

    latents: NDArray[np.float32]
    scores: NDArray[np.float32]

    @classmethod
    def read(cls, files: Mapping[str, bytes]) -> Sample | None:
        """Return the sample among a model's files, None where it has none.

        Raises
        ------
        ModelError
            It is damaged.
        """
        if SAMPLE not in files:
            return None
        try:
            tensors = load(files[SAMPLE])
            return cls(tensors["latent"], tensors["scores"])
        except (SafetensorError, KeyError) as error:
            raise ModelError(f"the model's {SAMPLE} cannot be read ({error}); attach its sample again") from error

    def threshold(self, reference: Reference) -> float | None:
        """Return the anomaly that 1 % of the sample exceed; None where it has no scores."""
        anomaly = reference.anomaly(self.scores)
        known = anomaly[np.isfinite(anomaly)]
        return float(np.quantile(known, _BEYOND)) if len(known) >= FEWEST else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far two samples lie apart, and what chance alone gives.

    Parameters
    ----------
    distance : float
        Energy distance, in units of the latent.
    level : float
        95th percentile of it when both are shuffled together.
    p_value : float
        Part of the shuffles that give as much; at least 1 / (:data:`PERMUTATIONS` + 1).
    """

    distance: float
    level: float
    p_value: float


def compare(latents: Floats, reference: Floats, *, seed: int = 0) -> Comparison:
    """Compare latents with a reference by energy distance and permutations.

    The distance is 2 E|X-Y| - E|X-X'| - E|Y-Y'| over all pairs (Szekely & Rizzo 2013,
    doi:10.1016/j.jspi.2013.03.018), never negative.

    Parameters
    ----------
    latents, reference : ndarray
        (N, D) and (M, D), each at least :data:`FEWEST` long; the cost is quadratic in N + M.
    seed : int
        Of the permutations.

    Raises
    ------
    ModelError
        There are too few, or their latents differ in size.
    """
    count, total = len(latents), len(latents) + len(reference)
    if min(count, total - count) < FEWEST or latents.shape[1] != reference.shape[1]:
        raise ModelError(
            f"cannot compare latents of shape {latents.shape} with {reference.shape}: at least {FEWEST} of one size"
        )
    together = np.concatenate([latents, reference]).astype(np.float64)
    between = _between(together)
    random = np.random.default_rng(seed)
    members = np.zeros((total, PERMUTATIONS + 1))
    members[:count, 0] = 1.0
    for column in range(1, PERMUTATIONS + 1):
        members[random.permutation(total)[:count], column] = 1.0
    found = _distances(between, members, count)
    shuffled = found[1:]
    p_value = (1 + int((shuffled >= found[0]).sum())) / (PERMUTATIONS + 1)
    return Comparison(float(found[0]), float(np.quantile(shuffled, 0.95)), p_value)


def attach_sample(directory: Path, latents: Floats, scores: Floats, *, seed: int = 0) -> dict[str, Any]:
    """Put a sample of held-out alerts into a model's folder, at most :data:`LARGEST_SAMPLE` drawn by a seed.

    Parameters
    ----------
    directory : Path
        Of the model; its hash stays what it is.
    latents, scores : ndarray
        (N, D) and (N, k) of alerts that no training saw; scores in the order of the card.

    Returns
    -------
    dict
        The card as written.

    Raises
    ------
    ModelError
        There are too few alerts with a latent, or the shapes are not the model's.
    """
    card = read_card(directory)
    known = np.flatnonzero(np.isfinite(latents).all(axis=1))
    if len(known) < FEWEST:
        raise ModelError(f"{len(known)} alerts with a latent are too few for a sample; it needs {FEWEST}")
    if latents.shape[1] != card["latent"] or scores.shape != (len(latents), len(card["scores"])):
        raise ModelError(f"latents {latents.shape} and scores {scores.shape} are not those of model {card['name']}")
    chosen = np.sort(np.random.default_rng(seed).permutation(known)[:LARGEST_SAMPLE])
    tensors = {
        "latent": np.ascontiguousarray(latents[chosen], dtype=np.float32),
        "scores": np.ascontiguousarray(scores[chosen], dtype=np.float32),
    }
    content = save(tensors)
    (directory / SAMPLE).write_bytes(content)
    sample = {"file": SAMPLE, "sha256": hashlib.sha256(content).hexdigest(), "size": len(chosen), "seed": seed}
    return write_card(directory, {**card, "sample": sample})


def read_reference(files: Mapping[str, bytes]) -> Reference:
    """Return the reference of the card among a model's files."""
    return Reference.from_card(json.loads(files[CARD])["reference"])


def _between(points: Floats) -> Floats:
    """Return the Euclidean distances of all pairs, (N, N)."""
    squares = (points**2).sum(axis=1)
    distances: Floats = np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0.0))
    np.fill_diagonal(distances, 0.0)
    return distances


def _distances(between: Floats, members: Floats, count: int) -> Floats:
    """Return the energy distance between the members of each column and the others."""
    total = len(between)
    rest = total - count
    reach = between @ members
    inside = np.einsum("ij,ij->j", members, reach)
    outward = reach.sum(axis=0) - inside
    outside = between.sum() - inside - 2 * outward
    distances: Floats = 2 * outward / (count * rest) - inside / count**2 - outside / rest**2
    return distances
