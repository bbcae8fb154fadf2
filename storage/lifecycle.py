"""What becomes of a model: into the live one's shadow, live, back again; who did it, and when.

Each change is one transaction under the stream's lock, with a line of history, and tells running
consumers by NOTIFY on :data:`CHANNEL`, the stream's name as payload.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from fulgor.errors import ModelError
from fulgor.storage.database import Connection
from fulgor.storage.registry import Model, get_model, live_model

__all__ = ["CHANNEL", "Event", "announce", "history", "previous", "promote", "retire", "rollback", "shadow"]

CHANNEL: Final = "fulgor_models"
"""What consumers LISTEN to."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a model's status.

    Parameters
    ----------
    model_id : int
        Which model.
    name, hash : str
        Its name and hash.
    action : {'add', 'shadow', 'retire', 'promote', 'rollback'}
        What was done.
    status : str
        What the model was from then on.
    done_by : str
        Role in the database.
    done_at : datetime
        UTC.
    note : str or None
        Why, in the words of who did it.
    """

    model_id: int
    name: str
    hash: str
    action: str
    status: str
    done_by: str
    done_at: datetime
    note: str | None


def shadow(connection: Connection, model: Model, *, note: str | None = None) -> Model:
    """Have a model score beside the live one.

    Raises
    ------
    ModelError
        It is live, or in its shadow already.
    """
    with _locked(connection, model) as current:
        if current.status in {"live", "shadow"}:
            raise ModelError(f"model {current.name} ({current.hash}) is {_STANDING[current.status]} already")
        _set(connection, current, "shadow", "shadow", note)
    return get_model(connection, model.model_id)


def retire(connection: Connection, model: Model, *, note: str | None = None) -> Model:
    """Have a model score no more.

    Raises
    ------
    ModelError
        It is live: another must be promoted; or it is retired already.
    """
    with _locked(connection, model) as current:
        if current.status == "live":
            raise ModelError(f"model {current.name} ({current.hash}) is live: promote another one in its place")
        if current.status == "retired":
            raise ModelError(f"model {current.name} ({current.hash}) is retired already")
        _set(connection, current, "retire", "retired", note)
    return get_model(connection, model.model_id)


def promote(connection: Connection, model: Model, *, keep_shadow: bool = False, note: str | None = None) -> Model:
    """Make a model the live one; the live one of before is retired, or put into its shadow.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    model : Model
        Which.
    keep_shadow : bool
        The one of before goes on scoring, in the new one's shadow.
    note : str, optional
        Kept in the history.

    Raises
    ------
    ModelError
        It is live already.
    """
    with _locked(connection, model) as current:
        if current.status == "live":
            raise ModelError(f"model {current.name} ({current.hash}) is live already")
        _replace_live(connection, current, "promote", keep_shadow=keep_shadow, note=note)
    return get_model(connection, model.model_id)


def rollback(connection: Connection, stream: str, *, keep_shadow: bool = False, note: str | None = None) -> Model:
    """Make the model live again that was before the last promotion; again goes back by one more.

    Raises
    ------
    ModelError
        No promotion is left to take back.
    """
    with _locked(connection, live_model(connection, stream)):
        before = previous(connection, stream)
        _replace_live(connection, before, "rollback", keep_shadow=keep_shadow, note=note)
    return get_model(connection, before.model_id)


def previous(connection: Connection, stream: str) -> Model:
    """Return the model that a rollback would make live.

    Raises
    ------
    ModelError
        No promotion is left to take back.
    """
    before = _before(history(connection, stream))
    if before is None:
        live = live_model(connection, stream)
        raise ModelError(
            f"stream '{stream}': nothing to roll back to: {live.name} ({live.hash}) is the first model that was live;"
            " 'fulgor models promote' names another"
        )
    return get_model(connection, before)


def history(connection: Connection, stream: str) -> list[Event]:
    """Return all changes of a stream's models, the oldest first."""
    with connection.cursor(row_factory=class_row(Event)) as cursor:
        return cursor.execute(
            "SELECT e.model_id, m.name, m.hash, e.action, e.status, e.done_by, e.done_at, e.note"
            " FROM fulgor.model_event e JOIN fulgor.model m USING (model_id) WHERE e.stream = %s ORDER BY e.event_id",
            [stream],
        ).fetchall()


def announce(connection: Connection, stream: str) -> None:
    """Tell running consumers, at the end of the transaction, that a stream's models have changed."""
    connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, stream])


_STANDING: Final = {"live": "live", "shadow": "in the live one's shadow"}


@contextmanager
def _locked(connection: Connection, model: Model) -> Iterator[Model]:
    """Run the block in a transaction in which nobody else changes the stream's models; tell consumers at its end."""
    with connection.transaction():
        # The lock that a registration takes: a first model must not become live beside a promoted one.
        connection.execute("SELECT 1 FROM fulgor.stream WHERE name = %s FOR NO KEY UPDATE", [model.stream])
        yield get_model(connection, model.model_id)
        announce(connection, model.stream)


def _replace_live(connection: Connection, model: Model, action: str, *, keep_shadow: bool, note: str | None) -> None:
    former = live_model(connection, model.stream)
    kept = "shadow" if keep_shadow else "retired"
    _set(connection, former, "shadow" if keep_shadow else "retire", kept, note)
    _set(connection, model, action, "live", note)


def _set(connection: Connection, model: Model, action: str, status: str, note: str | None) -> None:
    connection.execute("UPDATE fulgor.model SET status = %s WHERE model_id = %s", [status, model.model_id])
    connection.execute(
        "INSERT INTO fulgor.model_event (model_id, stream, action, status, note) VALUES (%s, %s, %s, %s, %s)",
        [model.model_id, model.stream, action, status, note],
    )


def _before(events: list[Event]) -> int | None:
    """Return the model that was live before the current one, promotions that were taken back left out."""
    stack: list[int] = []
    for event in events:
        if event.action == "rollback":
            stack.pop()
        elif event.status == "live":
            stack.append(event.model_id)
    return stack[-2] if len(stack) > 1 else None
