"""The models that a consumer scores with at one moment: the live one, and those in its shadow."""

from __future__ import annotations

from dataclasses import dataclass

from fulgor.consumer.stream import Predictor

__all__ = ["Lineup", "Scorer"]


@dataclass(frozen=True, slots=True)
class Scorer:
    """A model ready to run, and its key in the database."""

    model_id: int
    predictor: Predictor


@dataclass(frozen=True, slots=True)
class Lineup:
    """The models of one micro-batch.

    Parameters
    ----------
    live : Scorer
        Its rows account for the messages.
    shadows : tuple of Scorer
        Their rows stand beside, and account for nothing.
    """

    live: Scorer
    shadows: tuple[Scorer, ...] = ()
