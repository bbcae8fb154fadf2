"""``fulgor consume``: run consumers against a topic or an archive."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fulgor.cli.logs import set_up_logging
from fulgor.cli.pairs import kafka_pairs
from fulgor.errors import INTERRUPTED, ArchiveError, SettingsError

if TYPE_CHECKING:
    from fulgor.consumer.consume import Consumption
    from fulgor.consumer.metrics import Metrics
    from fulgor.consumer.settings import Settings
    from fulgor.streams.registry import Instrument

__all__ = ["consume"]


@dataclass(frozen=True)
class Order:
    """One command line, picklable for the worker processes."""

    stream: str
    flags: dict[str, Any]
    config: Path | None
    archive: Path | None
    until_end: bool
    as_json: bool
    verbose: bool
    shadows: tuple[Path, ...]


def consume(
    stream: str = typer.Argument(help="Instrument, such as ztf; 'fulgor streams' lists them."),
    topic: str = typer.Option(None, help="Topic, or a pattern that begins with ^."),
    group: str = typer.Option(None, help="Consumer group; each has its own stored offsets."),
    bootstrap: str = typer.Option(None, help="Kafka bootstrap servers."),
    database: str = typer.Option(None, help="Postgres URL, without a password."),
    start: str = typer.Option(None, "--from", help="Where to begin if nothing is stored: earliest, latest, ISO time."),
    until_end: bool = typer.Option(False, "--until-end", help="Stop at the end of every partition."),
    workers: int = typer.Option(1, min=1, max=256, help="Processes, each a member of the group."),
    device: str = typer.Option(None, help="auto, cpu or cuda."),
    model: list[Path] = typer.Option(
        None, help="Folder of a model to stay with, whatever is live; those named after the first score in its shadow."
    ),
    archive: Path = typer.Option(None, help="Read this file, folder or tarball instead of a topic."),
    kafka: list[str] = typer.Option(None, help="librdkafka setting, name=value; repeatable."),
    batch_size: int = typer.Option(None, help="Items in a full micro-batch."),
    deadline_ms: int = typer.Option(None, help="Longest wait for a micro-batch to fill."),
    metrics_port: int = typer.Option(None, help="Port of /metrics (Prometheus), /healthz and /readyz."),
    alerts_to: str = typer.Option(None, help="Topic that anomalies are sent to, at least once, after their commit."),
    alerts_above: float = typer.Option(None, help="Least anomaly (0 to 1) of an alert that is sent there."),
    config: Path = typer.Option(None, help="Config file (TOML)."),
    as_json: bool = typer.Option(False, "--json", help="Print the counts of the run as one JSON object at its end."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log more."),
) -> None:
    """Turn messages into rows, exactly once, until stopped (SIGTERM, Ctrl-C)."""
    flags = {
        "topic": topic, "group": group, "bootstrap": bootstrap, "database": database, "start": start,
        "device": device, "model": model[0] if model else None, "kafka": kafka_pairs(kafka), "batch_size": batch_size,
        "deadline_ms": deadline_ms, "metrics_port": metrics_port,
        "alerts_to": alerts_to, "alerts_above": alerts_above,
    }  # fmt: skip
    order = Order(stream, flags, config, archive, until_end, as_json, verbose, tuple(model or ())[1:])
    if archive is not None and workers > 1:
        raise SettingsError("--workers: an archive is one partition, which one process reads; leave it out")
    if workers == 1:
        _work(order)
    else:
        from fulgor.consumer.workers import run_workers

        _settings(order)  # a wrong setting is reported once, not by every process
        raise typer.Exit(run_workers(workers, partial(_work_apart, order)))


def _settings(order: Order) -> Settings:
    from fulgor.consumer.settings import load_settings

    return load_settings(order.flags, config=order.config)


def _work_apart(order: Order, index: int) -> None:
    """Run one of several worker processes; it reports its own mistakes."""
    from fulgor.cli import reported

    with reported():
        _work(order, index)


def _work(order: Order, index: int = 0) -> None:
    from fulgor.consumer.consume import consume, kafka_source
    from fulgor.streams.registry import instrument

    set_up_logging(verbose=order.verbose)
    settings = _settings(order)
    if settings.metrics_port and index:
        settings = settings.model_copy(update={"metrics_port": settings.metrics_port + index})
    stream = instrument(order.stream, settings)
    topic = settings.topic or stream.default_topic
    group = settings.group or f"fulgor-{order.stream}"
    what = _chosen(settings, order.shadows, stream, group)
    title = f"{order.stream} {order.archive or topic}"
    if order.archive is not None:
        from fulgor.replay.source import ArchiveSource

        source = ArchiveSource(order.archive)
        metrics = consume(what, lambda: source, settings, title=title, until_end=True)  # an archive does not grow
        _report(order, metrics)  # which leaves, if it was stopped
        source.raise_failure()
        _check_any(order.archive, metrics)
    else:
        open_topic = partial(kafka_source, settings, topic, group)
        _report(order, consume(what, open_topic, settings, title=title, until_end=order.until_end))


def _check_any(archive: Path, metrics: Metrics) -> None:
    """Refuse an archive of which nothing became a row: it is cut or of another kind, which no exit code 0 may hide."""
    stored, duplicates, dead = (
        int(metrics.value("fulgor_records_total", outcome=outcome)) for outcome in ("stored", "duplicate", "dead")
    )
    if dead and not stored + duplicates:
        raise ArchiveError(
            f"{archive}: nothing that was read became a row, {dead} dead letters; 'fulgor dead list' says why,"
            " 'fulgor replay inspect' what is in it"
        )


def _chosen(settings: Settings, shadows: tuple[Path, ...], stream: Instrument, group: str) -> Consumption:
    """Return the live model, to be followed, or the models that were named, to stay with."""
    from fulgor.cli.services import database_url, model_source
    from fulgor.consumer.consume import Consumption

    database = database_url(settings)
    source = model_source(settings, stream, database)
    if settings.model is None:
        return Consumption(stream, source.live(stream), database, group, follow=source)
    first, *others = source.named(stream, [settings.model, *shadows])
    return Consumption(stream, first, database, group, others)


def _report(order: Order, metrics: Metrics) -> None:
    if order.as_json:
        from fulgor.consumer.status import report

        typer.echo(json.dumps(report(metrics)))
    if metrics.interrupted:
        raise SystemExit(INTERRUPTED)
