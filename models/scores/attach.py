"""Give a trained model folder its fitted scores and its reference: the last step of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fulgor.errors import ModelError
from fulgor.models.card import CARD, SCORES, read_card, verify, write_card
from fulgor.models.drift import attach_sample
from fulgor.models.layout import SCORES as GRAPH_SCORES
from fulgor.models.reference import Reference
from fulgor.models.scores.score import Floats, Labels
from fulgor.models.scores.suite import COMBINED, NEEDS, ScoreSuite

__all__ = ["attach_scores", "replace_reference"]


def attach_scores(
    directory: Path,
    training: Mapping[str, Floats],
    labels: Labels,
    reference: Mapping[str, Floats],
    *,
    source: str,
    combined: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit all scores to a trained model's latents, and write them into its folder, with a sample of the reference.

    To be called once the folder holds weights, graph and card; called again, it replaces what it wrote.

    Parameters
    ----------
    directory : Path
        The model's folder.
    training : mapping of str to ndarray
        What the network gives for its training alerts, as :func:`fulgor.models.fitting.infer` returns
        it; of it ``latent`` (N, D).
    labels : ndarray
        int64 (N,): their classes, negative where unknown.
    reference : mapping of str to ndarray
        The same for alerts that no training saw; of it ``latent`` (M, D) and ``scores`` (M, graph scores).
    source : str
        What the reference's alerts are, for the card.
    combined : sequence of str, optional
        Scores whose percentiles are averaged into ``anomaly``; default: :data:`fulgor.models.scores.suite.COMBINED`.
    seed : int
        Fixes every draw.

    Returns
    -------
    dict
        The card as written: its ``scores`` are those of the graph and then the fitted ones.

    Raises
    ------
    ModelError
        The folder holds no model, or there are too few alerts for what is fitted to them.
    """
    card = read_card(directory)
    suite = ScoreSuite.fit(training["latent"], labels, seed=seed)
    names = (*GRAPH_SCORES, *suite.scores)
    if reference["scores"].shape[1] != len(GRAPH_SCORES):
        raise ModelError(
            f"the reference has {reference['scores'].shape[1]} scores of the network's graph, "
            f"expected {', '.join(GRAPH_SCORES)}; export the model again"
        )
    scores = np.concatenate([reference["scores"], suite(reference["latent"])], axis=1)
    fields = {
        **card,
        "scores": list(names),
        "fitted_scores": list(suite.scores),
        "score_needs": {name: NEEDS[name] for name in names},
        "reference": Reference.fit(scores, names, source=source, combined=combined or COMBINED).to_card(),
    }
    suite.save(directory / SCORES)
    write_card(directory, fields)
    return attach_sample(directory, reference["latent"], scores, seed=seed)


def replace_reference(directory: Path, files: Mapping[str, bytes], reference: Reference) -> dict[str, Any]:
    """Write a model's files into a folder, with another reference behind its percentiles; its hash stays.

    Parameters
    ----------
    directory : Path
        An empty folder.
    files : mapping of str to bytes
        Of the model, by name.
    reference : Reference
        Of the same scores.

    Returns
    -------
    dict
        The card as written.

    Raises
    ------
    ModelError
        There are no files, they are damaged, or the reference is of other scores.
    """
    if CARD not in files:
        raise ModelError("the files of this model are not in the database: enter them with 'fulgor models add FOLDER'")
    for name, content in files.items():
        (directory / name).write_bytes(content)
    card = read_card(directory)
    verify(directory, card)
    if list(reference.tables) != card["scores"]:
        raise ModelError(
            f"the reference is of {', '.join(reference.tables)}, the model gives {', '.join(card['scores'])}"
        )
    return write_card(directory, {**card, "reference": reference.to_card()})
