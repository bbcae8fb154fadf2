"""What the engine needs of an instrument.

A *message* yields 0..n *records* (a ZTF container may hold many alerts), a record yields 0..n
*items* (a LEELA chunk holds pulses; a ZTF alert is one item). Each item becomes one row. The engine
sees bytes, items and arrays; only the stream knows what they mean. Each instrument's object is
composed in :mod:`fulgor.streams` and handed down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from numpy import float64, generic
from numpy.typing import NDArray

from fulgor.errors import MalformedError
from fulgor.storage.tables import StreamTable

__all__ = ["Item", "Predictor", "PreparesTogether", "Record", "Remembering", "Stream"]

Arrays = Mapping[str, NDArray[generic]]


@dataclass(frozen=True, slots=True)
class Item:
    """One row to be: identity, model input and the columns of the stream's own table.

    Parameters
    ----------
    alert : str
        The alert's id within its stream (ZTF: candid).
    object : str
        The astrophysical object or site that the alert belongs to (ZTF: objectId).
    time : datetime
        The alert's own immutable time, UTC, timezone-aware.
    time_ns : int or None
        The same in nanoseconds since the Unix epoch; None where it does not fit (an impossible time).
    content_hash : bytes
        16 bytes over the decompressed record body and its writer schema.
    arrays : mapping of str to ndarray
        Model input without a batch axis. Items whose arrays have equal shapes share a micro-batch.
    flags : int
        Quality bits of the stream.
    columns : tuple
        Values of the stream's own table, in the order of ``Stream.table.columns``.
    unscorable : str or None
        Why no score can be computed; None when it can. The arrays are then not inferred.
    step_times : ndarray of float64 or None
        Times of the steps of the model's sequence in the stream's own unit (ZTF: Julian date), the item's own last and
        NaN where a step is unused: earlier items of the object are known by them. None where there is no sequence.
    """

    alert: str
    object: str
    time: datetime
    time_ns: int | None
    content_hash: bytes
    arrays: Arrays
    flags: int
    columns: tuple[Any, ...]
    unscorable: str | None = None
    step_times: NDArray[float64] | None = None


class Record(Protocol):
    """One decoded record; opaque to the engine."""


class Stream(Protocol):
    """An instrument as the engine sees it."""

    @property
    def name(self) -> str:
        """Name on the command line, in keys and in the views."""
        ...

    @property
    def table(self) -> StreamTable:
        """The stream's own table: typed columns beside the shared ones."""
        ...

    @property
    def preprocessing_hash(self) -> str:
        """Content hash of the preparation that ``prepare`` applies."""
        ...

    def decode(self, value: bytes) -> Sequence[Record | MalformedError]:
        """Return the records of a message, each decoded or an error of its own.

        Raises
        ------
        MalformedError
            The message as a whole cannot be trusted (framing, container, schema).
        """
        ...

    def prepare(self, record: Record) -> Sequence[Item]:
        """Return the items of a record: the same function serves training.

        Raises
        ------
        MalformedError
            The record cannot become a row.
        """
        ...


@runtime_checkable
class PreparesTogether(Protocol):
    """What a stream may offer beside `prepare`: the same for several records, in less time than one by one."""

    @property
    def prepared_together(self) -> int:
        """How many records to wait for, unless their deadline comes first."""
        ...

    def prepare_together(self, records: Sequence[Record]) -> Sequence[Sequence[Item]]:
        """Return the items of each record: what ``prepare`` gives, whatever the company.

        Raises
        ------
        Exception
            One of the records cannot become rows; each is then prepared alone.
        """
        ...


@runtime_checkable
class Remembering(Protocol):
    """What a stream may offer beside `prepare`: which earlier items one names, for models that take their latents."""

    def earlier(self, item: Item) -> Sequence[datetime | None]:
        """Return the times of the steps before the item's own, the oldest first.

        They are those that the earlier items' rows have as ``time``; None stands for a step that no item can be.
        """
        ...


class Predictor(Protocol):
    """A model ready to run on one device."""

    @property
    def model_hash(self) -> str:
        """Hash of weights, preprocessing, calibration, recurrence and precision."""
        ...

    @property
    def preprocessing_hash(self) -> str:
        """The preparation that the model was trained with."""
        ...

    @property
    def classes(self) -> Sequence[str]:
        """Names of the columns of ``probabilities``."""
        ...

    @property
    def card(self) -> Mapping[str, Any]:
        """The model's card: name, data, metrics, hashes; becomes its row in the database."""
        ...

    def predict(self, arrays: Arrays) -> Arrays:
        """Run a micro-batch.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            Model input, each with a leading batch axis N.

        Returns
        -------
        mapping of str to ndarray
            ``latent`` (N, 64), ``stamp_latent`` (N, 64), ``probabilities`` (N, classes),
            ``scores`` (N, scores) and ``anomaly`` (N,) in [0, 1]; all float32. NaN where a value
            cannot be had; the writer stores NULL.

        Raises
        ------
        MemoryError
            The device has no room for this batch; a smaller one may fit.
        """
        ...
