"""``fulgor replay rescore``: the live model's rows for alerts that it has not scored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fulgor.cli.logs import set_up_logging
from fulgor.cli.output import JSON, emit_one
from fulgor.cli.pairs import kafka_pairs
from fulgor.cli.session import opened
from fulgor.errors import INTERRUPTED, SettingsError

if TYPE_CHECKING:
    from fulgor.storage.registry import Model

__all__ = ["rescore"]


@dataclass(frozen=True)
class Order:
    """What one process is to do, picklable."""

    flags: dict[str, Any]
    model: Model
    group: str
    archive: Path | None


def rescore(
    stream: str = typer.Argument(help="Instrument: ztf, ..."),
    archive: Path = typer.Option(None, help="Read this file, folder, tarball or recording instead of a topic."),
    topic: str = typer.Option(None, help="Topic, or a pattern that begins with ^."),
    model: str = typer.Option(None, help="Id, name or hash of a model; by default the live one."),
    group: str = typer.Option(None, help="Consumer group; by default one that is named after the model."),
    workers: int = typer.Option(1, min=1, max=256, help="Processes, each a member of the group."),
    everything: bool = typer.Option(False, "--everything", help="Read although no stored alert lacks a row."),
    bootstrap: str = typer.Option(None, help="Kafka bootstrap servers."),
    database: str = typer.Option(None, help="Postgres URL, without a password."),
    device: str = typer.Option(None, help="auto, cpu or cuda."),
    kafka: list[str] = typer.Option(None, help="librdkafka setting, name=value; repeatable."),
    as_json: bool = JSON,
) -> None:
    """Score stored alerts with the live model that it has not scored yet, from a topic or an archive.

    It goes on where it was interrupted; where nothing is stale, it reads nothing.
    """
    from fulgor.consumer.workers import run_workers
    from fulgor.replay.rescore import outcome, rescore_group
    from fulgor.storage.registry import find_model, live_model
    from fulgor.storage.stale import count_unscored

    if archive is not None and workers > 1:
        raise SettingsError("--workers: an archive is one partition, which one process reads; leave it out")
    flags = {"bootstrap": bootstrap, "database": database, "device": device, "kafka": kafka_pairs(kafka)}
    with opened(database) as connection:
        chosen = live_model(connection, stream) if model is None else find_model(connection, model, stream)
        before = count_unscored(connection, chosen)
    order = Order({**flags, "topic": topic}, chosen, group or rescore_group(chosen), archive)
    code = 0
    if before or everything:
        code = _work(order) if workers == 1 else run_workers(workers, partial(_work_apart, order))
    if code in {0, INTERRUPTED}:
        with opened(database) as connection:
            emit_one(outcome(connection, chosen, order.group, before), as_json=as_json)
    raise typer.Exit(code)


def _work_apart(order: Order, index: int) -> None:  # noqa: ARG001 - each process is told its number
    """Run one of several processes; it reports its own mistakes."""
    from fulgor.cli import reported

    with reported():
        raise SystemExit(_work(order))


def _work(order: Order) -> int:
    """Read the source to its end, and return the exit code."""
    from fulgor.cli.services import database_url, model_source
    from fulgor.consumer.consume import kafka_source
    from fulgor.consumer.settings import load_settings
    from fulgor.replay.rescore import rescore as run
    from fulgor.replay.source import ArchiveSource
    from fulgor.streams.registry import instrument

    set_up_logging()
    settings = load_settings(order.flags)
    stream = instrument(order.model.stream, settings)
    database = database_url(settings)
    predictor = model_source(settings, stream, database)(order.model)
    todo = partial(run, stream, predictor, database, order.group)
    if order.archive is not None:
        source = ArchiveSource(order.archive)
        if not todo(lambda: source, settings, title=f"rescore {order.archive}"):
            return INTERRUPTED
        source.raise_failure()
        return 0
    topic = settings.topic or stream.default_topic
    read = todo(lambda: kafka_source(settings, topic, order.group), settings, title=f"rescore {topic}")
    return 0 if read else INTERRUPTED
