"""``fulgor dead``: messages and records that could not become rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fulgor.cli.output import JSON, emit, emit_one
from fulgor.cli.session import DATABASE, STREAM, opened
from fulgor.errors import DiskFullError, FulgorError, SettingsError, is_out_of_space

if TYPE_CHECKING:
    from fulgor.storage.dead import DeadRecord

__all__ = ["app"]

app = typer.Typer(
    help="Messages and records that could not become rows: where, why, their bytes.", no_args_is_help=True
)

CLASS = typer.Option(None, "--class", help="Only this error class.")
STAGE = typer.Option(None, "--stage", help="Only this stage: framing, container, schema, record, prepare, store, ...")
_COLUMNS = ("dead_id", "stream", "topic", "partition", "offset", "record", "stage", "error_class", "attempts", "reason")
_HEAD = 64  # bytes shown of a message


@app.command(name="list")
def list_(
    error_class: str = CLASS,
    stage: str = STAGE,
    stream: str = STREAM,
    redriven: bool = typer.Option(False, "--redriven", help="Those that became rows since."),
    limit: int = typer.Option(100, "--limit", min=1, help="How many at most, the latest first."),
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Show dead letters, the latest first."""
    from fulgor.storage.dead import list_dead

    with opened(database) as connection:
        rows = list_dead(
            connection,
            stream=stream,
            error_class=error_class,
            stage=stage,
            status="redriven" if redriven else "dead",
            limit=limit,
        )
    emit(rows, _COLUMNS, as_json=as_json)


@app.command()
def show(
    dead_id: int = typer.Argument(metavar="ID", help="As 'fulgor dead list' shows it."),
    out: Path = typer.Option(None, "--out", help="Write the message's bytes to this file."),
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Show a dead letter: reason, place, headers and the first bytes of its message."""
    from fulgor.storage.dead import load_dead

    with opened(database) as connection:
        (record,) = load_dead(connection, [dead_id])
    emit_one(_described(record), as_json=as_json)
    if out is not None:
        _write(out, record)


def _described(record: DeadRecord) -> dict[str, Any]:
    value = record.message.value
    return {
        "dead_id": record.dead_id,
        "stream": record.stream,
        "status": record.status,
        "stage": record.stage,
        "error_class": record.error_class,
        "reason": record.reason,
        "attempts": record.attempts,
        "first_seen": record.first_seen,
        "last_tried": record.last_tried,
        "group": record.group,
        "cluster": record.cluster,
        "topic": record.topic,
        "partition": record.partition,
        **record.at._asdict(),
        "timestamp_ms": record.message.timestamp_ms,
        "key": record.message.key,
        "headers": [{"name": name, "value": value} for name, value in record.message.headers],
        "bytes": None if value is None else len(value),
        "head": None if value is None else value[:_HEAD],
    }


def _write(path: Path, record: DeadRecord) -> None:
    if record.message.value is None:
        raise FulgorError(f"dead letter {record.dead_id}: its message had no value, there is nothing to write")
    try:
        path.write_bytes(record.message.value)
    except OSError as error:
        problem = f"--out {path}: {error.strerror}"
        raise (DiskFullError if is_out_of_space(error) else SettingsError)(problem) from error


@app.command()
def redrive(
    ids: list[int] = typer.Argument(None, metavar="[ID]...", help="Only these letters."),
    stream: str = typer.Option("ztf", "--stream", help="Instrument whose letters are tried again."),
    error_class: str = CLASS,
    stage: str = STAGE,
    limit: int = typer.Option(None, "--limit", min=1, help="How many at most, the oldest first."),
    model: Path = typer.Option(None, help="Folder of a model; by default the live one."),
    device: str = typer.Option(None, help="auto, cpu or cuda."),
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Send dead letters through the pipeline again; those that become rows are closed."""
    from fulgor.cli.services import database_url, model_source
    from fulgor.consumer.consume import Consumption
    from fulgor.consumer.redrive import redrive as try_again
    from fulgor.consumer.settings import load_settings
    from fulgor.streams.registry import instrument

    settings = load_settings({"database": database, "model": model, "device": device})
    chosen = instrument(stream, settings)
    url = database_url(settings)
    source = model_source(settings, chosen, url)
    [predictor] = source.named(chosen, [settings.model]) if settings.model else [source.live(chosen)]
    what = Consumption(chosen, predictor, url, "redrive")
    done = try_again(what, ids or None, error_class=error_class, stage=stage, limit=limit, settings=settings)
    emit_one(done, as_json=as_json)
