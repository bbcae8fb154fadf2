"""``fulgor models``: the models that the database knows."""

from __future__ import annotations

import typer

from fulgor.cli.output import JSON, emit, emit_one
from fulgor.cli.session import DATABASE, STREAM, opened

__all__ = ["app"]

app = typer.Typer(help="The models that the database knows.", no_args_is_help=True)


@app.command(name="list")
def list_(stream: str = STREAM, database: str = DATABASE, as_json: bool = JSON) -> None:
    """Show the models, in the order of registration."""
    from fulgor.storage.registry import list_models

    with opened(database) as connection:
        rows = list_models(connection, stream)
    emit(rows, ("model_id", "stream", "name", "status", "hash", "reference", "registered_at"), as_json=as_json)


@app.command()
def show(
    model: str = typer.Argument(help="Id, name or hash."),
    stream: str = STREAM,
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Show a model and its card."""
    from fulgor.storage.registry import find_model

    with opened(database) as connection:
        found = find_model(connection, model, stream)
    emit_one(found, as_json=as_json)
