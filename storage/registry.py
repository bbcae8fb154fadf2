"""Models known to the database: every result names the one that made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from fulgor.errors import ModelError, SchemaVersionError
from fulgor.models.store import reference_id
from fulgor.storage.database import Connection

__all__ = ["Model", "find_live", "find_model", "get_model", "list_models", "live_model", "register_model"]

_TEXTS = ("name", "stream", "hash", "preprocessing_hash")
_LISTS = ("classes", "scores")
# As the tables have it: the database would refuse every row of a model with another size.
_LATENT = 64
_SELECT = (
    "SELECT model_id, stream, name, hash, preprocessing_hash, classes, scores, reference, status, registered_at, card"
    " FROM fulgor.model"
)


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model.

    Parameters
    ----------
    model_id : int
        Its key in this database.
    stream, name : str
        What it is for, and what people call it.
    hash : str
        Of weights, preprocessing, calibration, recurrence and precision.
    preprocessing_hash : str
        The preparation that it was trained with.
    classes, scores : list of str
        Names of the elements of ``probabilities`` and ``scores`` in its results.
    reference : str or None
        Reference set behind its percentiles; no part of the hash.
    status : {'candidate', 'shadow', 'live', 'retired'}
        At most one of a stream is live; shadows score beside it, the others score nothing.
    registered_at : datetime
        UTC.
    card : dict
        All that its maker said about it.
    """

    model_id: int
    stream: str
    name: str
    hash: str
    preprocessing_hash: str
    classes: list[str]
    scores: list[str]
    reference: str | None
    status: str
    registered_at: datetime
    card: dict[str, Any]


def register_model(connection: Connection, card: Mapping[str, Any]) -> int:
    """Return the key of a model, entering it if its hash is new to the stream.

    The first model of a stream becomes live; later ones are candidates, which score nothing until
    somebody promotes them or puts them into the live one's shadow. A card
    with a refitted reference replaces the one that is stored: the reference is no part of the hash.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    card : mapping
        ``name``, ``stream``, ``model_hash`` (or ``hash``), ``preprocessing_hash``, ``classes``, ``scores``
        and, where there is one, ``reference``: its id, or a mapping with its ``id``. The whole is kept.

    Raises
    ------
    ModelError
        The card lacks a field, or its hash is registered with other classes or scores.
    SchemaVersionError
        The stream has no tables here.
    """
    fields = _fields(card)
    with connection.transaction():
        # One registration of a stream at a time: two first models must not both become live.
        if not connection.execute(
            "SELECT 1 FROM fulgor.stream WHERE name = %s FOR NO KEY UPDATE", [fields["stream"]]
        ).fetchone():
            raise SchemaVersionError(f"the database has no tables for '{fields['stream']}': run 'fulgor db migrate'")
        known = _one(connection, " WHERE stream = %s AND hash = %s", [fields["stream"], fields["hash"]])
        if known is None:
            return _insert(connection, fields)
        _refuse_other_names(known, fields)
        connection.execute(
            "UPDATE fulgor.model SET reference = %(reference)s, card = %(card)s"
            " WHERE model_id = %(model_id)s AND reference IS DISTINCT FROM %(reference)s",
            fields | {"model_id": known.model_id},
        )
        return known.model_id


def list_models(connection: Connection, stream: str | None = None) -> list[Model]:
    """Return the models of a stream or of all, in the order of registration."""
    return _all(connection, " WHERE %s::text IS NULL OR stream = %s ORDER BY model_id", [stream, stream])


def find_live(connection: Connection, stream: str) -> Model | None:
    """Return a stream's live model, None if there is none yet."""
    return _one(connection, " WHERE stream = %s AND status = 'live'", [stream])


def live_model(connection: Connection, stream: str) -> Model:
    """Return a stream's live model.

    Raises
    ------
    ModelError
        There is none yet.
    """
    model = find_live(connection, stream)
    if model is None:
        raise ModelError(f"stream '{stream}' has no live model: 'fulgor consume {stream}' registers its first one")
    return model


def get_model(connection: Connection, model_id: int) -> Model:
    """Return the model of this key.

    Raises
    ------
    ModelError
        There is none.
    """
    model = _one(connection, " WHERE model_id = %s", [model_id])
    if model is None:
        raise ModelError(f"there is no model {model_id}: 'fulgor models list' names those there are")
    return model


def find_model(connection: Connection, which: str, stream: str | None = None) -> Model:
    """Return the model of this id, name or hash (or the hash's beginning, at least 6 characters).

    Raises
    ------
    ModelError
        None fits, or more than one.
    """
    found = _all(
        connection,
        " WHERE (%s::text IS NULL OR stream = %s)"
        " AND (model_id::text = %s OR name = %s OR (length(%s) >= 6 AND starts_with(hash, %s))) ORDER BY model_id",
        [stream, stream, which, which, which, which],
    )
    if len(found) == 1:
        return found[0]
    where = f"stream '{stream}' has" if stream else "there is"
    if not found:
        raise ModelError(f"{where} no model '{which}': 'fulgor models list' names those there are")
    ids = ", ".join(str(model.model_id) for model in found)
    raise ModelError(f"'{which}' may mean the models {ids}: name one by its id")


def _fields(card: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: card.get(name) for name in ("name", "stream", "preprocessing_hash", *_LISTS)}
    fields["hash"] = card.get("model_hash", card.get("hash"))
    fields["reference"] = reference_id(card)
    wrong = [name for name in _TEXTS if not isinstance(fields[name], str) or not fields[name]]
    wrong += [name for name in _LISTS if not _is_names(fields[name])]
    if fields["reference"] is None and card.get("reference") is not None:
        wrong.append("reference")
    if wrong:
        raise ModelError(f"model card '{card.get('name')}': {', '.join(wrong)} missing or of the wrong type")
    if card.get("latent", _LATENT) != _LATENT:
        raise ModelError(
            f"model '{card['name']}' gives latents of {card['latent']} numbers, the tables hold {_LATENT}:"
            " train one of that size"
        )
    return fields | {name: list(fields[name]) for name in _LISTS} | {"card": Jsonb(dict(card))}


def _is_names(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(name, str) for name in value)


def _refuse_other_names(known: Model, fields: Mapping[str, Any]) -> None:
    for what, names in (("classes", known.classes), ("scores", known.scores)):
        if names != fields[what]:
            raise ModelError(
                f"model {known.name} ({known.hash}) is registered with {what} {names}, this card says"
                f" {fields[what]}: a hash must stand for one model"
            )


def _insert(connection: Connection, fields: Mapping[str, Any]) -> int:
    row = connection.execute(
        "INSERT INTO fulgor.model (stream, name, hash, preprocessing_hash, classes, scores, reference, card, status)"
        " SELECT %(stream)s, %(name)s, %(hash)s, %(preprocessing_hash)s, %(classes)s, %(scores)s, %(reference)s,"
        " %(card)s, CASE WHEN EXISTS (SELECT 1 FROM fulgor.model WHERE stream = %(stream)s AND status = 'live')"
        " THEN 'candidate' ELSE 'live' END RETURNING model_id",
        fields,
    ).fetchone()
    assert row is not None  # noqa: S101 - INSERT .. RETURNING always gives a row
    connection.execute(
        "INSERT INTO fulgor.model_event (model_id, stream, action, status)"
        " SELECT model_id, stream, 'add', status FROM fulgor.model WHERE model_id = %s",
        [row[0]],
    )
    return int(str(row[0]))


def _all(connection: Connection, where: str, parameters: Sequence[object]) -> list[Model]:
    with connection.cursor(row_factory=class_row(Model)) as cursor:
        return cursor.execute(_SELECT + where, parameters).fetchall()


def _one(connection: Connection, where: str, parameters: Sequence[object]) -> Model | None:
    found = _all(connection, where, parameters)
    return found[0] if found else None
