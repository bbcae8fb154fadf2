"""Rows of a model for alerts that it has not scored: the same pipeline once more, under a group of its own.

The group is named after the model, so that an interrupted rescore goes on where it was, several
processes share it, and a second one finds nothing to do. The group that consumed the alerts first, its
offsets and its rows are not touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fulgor.consumer.consume import Consumption, consume
from fulgor.consumer.settings import Settings
from fulgor.consumer.source import Source
from fulgor.consumer.stream import Predictor, Stream
from fulgor.storage.database import Connection
from fulgor.storage.ledger import read_accounts
from fulgor.storage.registry import Model
from fulgor.storage.stale import count_unscored

__all__ = ["Rescored", "outcome", "rescore", "rescore_group"]


@dataclass(frozen=True, slots=True)
class Rescored:
    """What a rescore came to.

    Parameters
    ----------
    model, hash : str
        The model that scored.
    group : str
        Consumer group; its account is in the ledger.
    before, after : int
        Stored alerts of the stream without a row of this model. What is left after was not in what was read.
    stored, duplicates, dead : int
        What became of all that the group has read so far, from its rows: new rows of the model, alerts that
        had one, records that could not become one.
    """

    model: str
    hash: str
    group: str
    before: int
    after: int
    stored: int
    duplicates: int
    dead: int


def rescore_group(model: Model) -> str:
    """Return the consumer group that brings a model's rows up to date."""
    return f"rescore-{model.stream}-{model.hash[:12]}"


def rescore(
    stream: Stream, predictor: Predictor, database: str, group: str, open_source: Callable[[], Source],
    settings: Settings, *, title: str,
) -> bool:  # fmt: skip
    """Score what a source holds with one model, to its end.

    Alerts that the model has scored become duplicates of this group; those that are not stored at all become
    rows. Nothing is published, whatever `settings` say: these anomalies are no news.

    Parameters
    ----------
    stream : Stream
        The instrument.
    predictor : Predictor
        The model, whatever is live.
    database : str
        Its URL.
    group : str
        Consumer group, of which other processes may be members.
    open_source : callable
        Opens the topic or the archive.
    settings : Settings
        Batch size, deadline, bounds.
    title : str
        Shown on the status line.

    Returns
    -------
    bool
        Whether the source was read to its end; False if a signal came first.

    Raises
    ------
    FulgorError
        As :func:`fulgor.consumer.consume.consume`.
    """
    quiet = settings.model_copy(update={"alerts_to": None, "metrics_port": None, "start": "earliest"})
    what = Consumption(stream, predictor, database, group)
    return not consume(what, open_source, quiet, title=title, until_end=True).interrupted


def outcome(connection: Connection, model: Model, group: str, before: int) -> Rescored:
    """Return what a group's rescore came to, counted from rows."""
    accounts = read_accounts(connection, stream=model.stream, group=group)
    return Rescored(
        model=model.name,
        hash=model.hash,
        group=group,
        before=before,
        after=count_unscored(connection, model),
        stored=sum(account.stored for account in accounts),
        duplicates=sum(account.duplicates for account in accounts),
        dead=sum(account.dead for account in accounts),
    )
