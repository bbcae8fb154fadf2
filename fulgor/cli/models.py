"""``fulgor models``: the models that the database knows, and which of them score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fulgor.cli.drift import drift, sample
from fulgor.cli.output import JSON, as_mapping, emit, emit_one
from fulgor.cli.quantize import quantize
from fulgor.cli.refit import refit
from fulgor.cli.session import DATABASE, STREAM, opened
from fulgor.errors import ModelError

if TYPE_CHECKING:
    from fulgor.storage.database import Connection
    from fulgor.storage.registry import Model

__all__ = ["app"]

app = typer.Typer(
    help="The models: which is live, which score in its shadow, what they were made of.", no_args_is_help=True
)
app.command()(refit)
app.command()(drift)
app.command()(quantize)
app.command()(sample)

MODEL = typer.Argument(help="Id, name, or hash (its first six characters do).")
OF_STREAM = typer.Option("ztf", "--stream", help="Instrument.")
NOTE = typer.Option(None, "--note", help="Why; kept in the history.")
KEEP = typer.Option(False, "--keep-shadow", help="Have the one of before go on scoring, in the new one's shadow.")
_SUMMARY = ("model_id", "stream", "name", "status", "hash", "preprocessing_hash", "reference", "registered_at")
_CHANGED = ("model_id", "stream", "name", "hash", "status")
_EVENTS = ("done_at", "name", "hash", "action", "status", "done_by", "note")


@app.command(name="list")
def list_(
    stream: str = STREAM,
    history: bool = typer.Option(False, "--history", help="What was done to them instead, the oldest first."),
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Show the models, in the order of registration."""
    from fulgor.storage.lifecycle import history as events
    from fulgor.storage.registry import list_models

    with opened(database) as connection:
        models = list_models(connection, stream)
        if history:
            found = [event for name in sorted({m.stream for m in models}) for event in events(connection, name)]
            emit(found, _EVENTS, as_json=as_json)
            return
    emit(models, _SUMMARY, as_json=as_json)


@app.command()
def show(model: str = MODEL, stream: str = STREAM, database: str = DATABASE, as_json: bool = JSON) -> None:
    """Show a model, its card and what was done to it."""
    from fulgor.storage.lifecycle import history
    from fulgor.storage.registry import find_model

    with opened(database) as connection:
        found = find_model(connection, model, stream)
        events = [as_mapping(event) for event in history(connection, found.stream) if event.model_id == found.model_id]
    emit_one(as_mapping(found) | {"history": events}, as_json=as_json)


@app.command()
def add(
    folder: Path = typer.Argument(help="Folder of a model, as 'fulgor train' writes it."),
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Enter a model with its files, so that consumers on any machine can load it; it scores nothing yet."""
    from fulgor.cli.services import given_database, model_source
    from fulgor.consumer.preparation import check_preparation
    from fulgor.consumer.settings import load_settings
    from fulgor.models.card import read_card
    from fulgor.streams.registry import instrument

    settings = load_settings({"database": database})
    card = read_card(folder)
    stream = instrument(card["stream"], settings)
    check_preparation(stream, card["preprocessing_hash"])
    stream.load_model(folder, "cpu", 1)  # what cannot run here would be refused by every consumer
    source = model_source(settings, stream, given_database(database))
    with opened(database) as connection:
        added = source.add(connection, folder)
    _tell(added, as_json=as_json)


@app.command()
def shadow(
    model: str = MODEL, stream: str = OF_STREAM, note: str = NOTE, database: str = DATABASE, as_json: bool = JSON
) -> None:
    """Have running consumers score with a model beside the live one; its rows stand beside theirs."""
    from fulgor.storage.lifecycle import shadow as put_into_shadow

    with opened(database) as connection:
        _tell(put_into_shadow(connection, _usable(connection, model, stream), note=note), as_json=as_json)


@app.command()
def promote(
    model: str = MODEL, stream: str = OF_STREAM, keep_shadow: bool = KEEP, note: str = NOTE,
    database: str = DATABASE, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Make a model the live one; running consumers take it over within seconds, between two batches."""
    from fulgor.storage.lifecycle import promote as make_live

    with opened(database) as connection:
        chosen = _usable(connection, model, stream)
        _tell(make_live(connection, chosen, keep_shadow=keep_shadow, note=note), as_json=as_json)
        _tell_what_is_owed(connection, chosen)


@app.command()
def rollback(
    stream: str = OF_STREAM, keep_shadow: bool = KEEP, note: str = NOTE,
    database: str = DATABASE, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Make the model live again that was before the last promotion; again goes back by one more."""
    from fulgor.storage.lifecycle import previous
    from fulgor.storage.lifecycle import rollback as go_back

    with opened(database) as connection:
        _check_usable(connection, previous(connection, stream))
        back = go_back(connection, stream, keep_shadow=keep_shadow, note=note)
        _tell(back, as_json=as_json)
        _tell_what_is_owed(connection, back)


@app.command()
def retire(
    model: str = MODEL, stream: str = OF_STREAM, note: str = NOTE, database: str = DATABASE, as_json: bool = JSON
) -> None:
    """Have a model score no more; its rows stay."""
    from fulgor.storage.lifecycle import retire as put_away
    from fulgor.storage.registry import find_model

    with opened(database) as connection:
        _tell(put_away(connection, find_model(connection, model, stream), note=note), as_json=as_json)


@app.command()
def stale(stream: str = STREAM, database: str = DATABASE, as_json: bool = JSON) -> None:
    """Count the rows of each model, and those of alerts that the live model has not scored."""
    from fulgor.storage.stale import count_rows

    with opened(database) as connection:
        rows = count_rows(connection, stream)
    emit(rows, ("stream", "model_id", "name", "hash", "status", "reason", "rows", "stale"), as_json=as_json)


def _usable(connection: Connection, which: str, stream: str) -> Model:
    """Return a registered model that this program's consumers can run."""
    from fulgor.storage.registry import find_model

    model = find_model(connection, which, stream)
    _check_usable(connection, model)
    return model


def _check_usable(connection: Connection, model: Model) -> None:
    from fulgor.consumer.preparation import check_preparation
    from fulgor.consumer.settings import load_settings
    from fulgor.storage.modelfiles import has_files
    from fulgor.streams.registry import instrument

    check_preparation(instrument(model.stream, load_settings()), model.preprocessing_hash)
    if not has_files(connection, model.model_id):
        raise ModelError(
            f"the files of model {model.name} ({model.hash}) are not in the database, so no consumer could load it:"
            " add its folder with 'fulgor models add FOLDER'"
        )


def _tell_what_is_owed(connection: Connection, model: Model) -> None:
    """Say where the rows of older alerts come from, and what a model that takes stored history does not have of it."""
    from fulgor.storage.stale import count_unscored

    typer.echo(
        "older alerts that it has not scored show NULL in the views until 'fulgor replay rescore"
        f" {model.stream}' has made their rows; 'fulgor models stale' counts them",
        err=True,
    )
    if not model.card.get("recurrence", {}).get("history_stamps"):
        return
    unscored = count_unscored(connection, model)
    if unscored:
        typer.echo(
            f"{unscored} stored alerts have no row of this model: in the histories of later ones they are 'absent' (the"
            f" view latents counts them in history_absent) until 'fulgor replay rescore {model.stream}' has made their"
            " rows; 'fulgor jobs run' then settles what came without them",
            err=True,
        )


def _tell(model: Model, *, as_json: bool) -> None:
    changed = as_mapping(model)
    emit_one({name: changed[name] for name in _CHANGED}, as_json=as_json)
