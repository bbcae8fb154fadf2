"""``fulgor models refit``: percentiles against what the instrument delivers now."""

from __future__ import annotations

import tempfile
from pathlib import Path

import typer

from fulgor.cli.output import JSON, emit_one
from fulgor.cli.scope import MODEL, STREAM, stretch
from fulgor.cli.session import DATABASE, opened

__all__ = ["refit"]


def refit(
    night: str = typer.Option(None, "--night", help="UTC day, YYYY-MM-DD."),
    since: str = typer.Option(None, "--since", help="ISO time; UTC where it names no zone."),
    until: str = typer.Option(None, "--until", help="ISO time, itself left out."),
    stream: str = STREAM,
    model: str = MODEL,
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Rank from now on against the alerts of a night or of any stretch of time; the model stays what it is.

    Running consumers take the new reference over by themselves; rows that are there keep theirs.
    """
    from fulgor.cli.services import given_database, model_source
    from fulgor.consumer.settings import load_settings
    from fulgor.models.reference import Reference
    from fulgor.models.scores.attach import replace_reference
    from fulgor.storage.modelfiles import read_files
    from fulgor.storage.results import model_of
    from fulgor.storage.scores import score_sample
    from fulgor.streams.registry import instrument

    settings = load_settings({"database": database})
    start, end = stretch(night, since, until)
    source = model_source(settings, instrument(stream, settings), given_database(database))
    with opened(database) as connection, tempfile.TemporaryDirectory() as folder:
        which = model_of(connection, stream, model)
        sample = score_sample(connection, which, since=start, until=end)
        before = Reference.from_card(which.card["reference"])
        fitted = Reference.fit(sample.scores, which.scores, source=sample.source, combined=before.combined)
        replace_reference(Path(folder), read_files(connection, which.model_id), fitted)
        source.add(connection, Path(folder))
    told = {"model": which.name, "hash": which.hash, "before": before.id, "reference": fitted.id}
    emit_one({**told, "alerts": fitted.size, "source": fitted.source}, as_json=as_json)
