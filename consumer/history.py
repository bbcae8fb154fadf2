"""Earlier alerts of an object on their way into a model: what a batch names, what is stored of it.

Only models whose card says so take a history; for the others nothing here runs. Which earlier items a
sequence names only the stream knows (:class:`~fulgor.consumer.stream.Remembering`). Those that were read
together with a later one of their object, or whose rows are still on their way to the database, are not
found: they count as late, and the job ``late-history`` makes that right.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fulgor.consumer.patience import Patient
from fulgor.consumer.stream import Item, Predictor, Remembering, Stream
from fulgor.errors import ModelError
from fulgor.storage.history import Earlier, Observation, read_earlier
from fulgor.storage.rows import History

__all__ = ["Past", "Recall", "StoredHistory", "history_shape", "pasts"]

Recall = Callable[[int, Collection[Observation]], Mapping[Observation, Earlier]]
"""Finds what a model has stored of earlier alerts; called with the model's key."""


@dataclass(frozen=True, slots=True)
class Past:
    """What a model gets of one item's past, and what the row says of it.

    Parameters
    ----------
    arrays : dict of str to ndarray of float32
        ``history`` (L - 1, latent) and ``history_mask`` (L - 1,).
    history : History
        Times and alerts.
    """

    arrays: dict[str, NDArray[np.float32]]
    history: History


class StoredHistory:
    """Finds earlier alerts through a connection of its own, made when the first model asks.

    Parameters
    ----------
    database : Patient
        Waits for a database that is away; used by one thread only.
    stream : str
        Whose rows.
    """

    def __init__(self, database: Patient, stream: str) -> None:
        self._database = database
        self._stream = stream

    def __call__(self, model_id: int, wanted: Collection[Observation]) -> Mapping[Observation, Earlier]:
        """Return those of these alerts that the model has stored.

        Raises
        ------
        DatabaseError
            The database did not come back in time.
        """
        if not wanted:
            return {}
        return self._database.run(lambda connection: read_earlier(connection, self._stream, model_id, wanted))

    def close(self) -> None:
        """Close the connection, if there is one."""
        self._database.close()


def history_shape(predictor: Predictor) -> tuple[int, int] | None:
    """Return the shape (L - 1, latent) of the history that a model takes, None where it takes none."""
    shape: tuple[int, int] | None = getattr(predictor, "history_shape", None)
    return shape


def pasts(stream: Stream, items: Sequence[Item], model_id: int, shape: tuple[int, int], recall: Recall) -> list[Past]:
    """Return the pasts of a batch of items, by one query.

    Parameters
    ----------
    stream : Stream
        Tells which earlier items they name.
    items : sequence of Item
        The batch.
    model_id : int
        The model's key.
    shape : tuple of int
        Of its history.
    recall : callable
        Asks the database.

    Raises
    ------
    ModelError
        The stream's items name no earlier ones: the model is another stream's.
    """
    if not isinstance(stream, Remembering):
        raise ModelError(f"the model takes stored history, which stream {stream.name!r} does not have")
    named = [
        [None if time is None else Observation(item.object, time) for time in stream.earlier(item)] for item in items
    ]
    found = recall(model_id, [one for steps in named for one in steps if one is not None])
    return [_past(steps, found, shape) for steps in named]


def _past(steps: Sequence[Observation | None], found: Mapping[Observation, Earlier], shape: tuple[int, int]) -> Past:
    history, mask = np.zeros(shape, np.float32), np.zeros(shape[0], np.float32)
    alerts: list[str | None] = []
    for place, step in enumerate(steps):
        if step is None:
            continue
        earlier = found.get(step)
        alerts.append(earlier.alert if earlier else None)
        if earlier:
            history[place], mask[place] = earlier.stamp_latent, 1
    times = tuple(step.time for step in steps if step is not None)
    return Past({"history": history, "history_mask": mask}, History(times, tuple(alerts)))
