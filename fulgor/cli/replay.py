"""``fulgor replay``: topics into recordings, archives onto topics, and what is in them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import typer

from fulgor.cli.convert import convert
from fulgor.cli.pairs import kafka_pairs
from fulgor.cli.record import check, record
from fulgor.cli.rescore import rescore
from fulgor.cli.trainingset import prepare
from fulgor.errors import INTERRUPTED, ArchiveError

if TYPE_CHECKING:
    from fulgor.consumer.settings import Settings
    from fulgor.replay.archive import Archive
    from fulgor.replay.inspect import Inspection
    from fulgor.replay.produce import ProduceReport

__all__ = ["app"]

app = typer.Typer(help="Archives of alerts: from a topic, onto a topic, and what is in them.", no_args_is_help=True)
app.command()(record)
app.command()(check)
app.command()(prepare)
app.command()(rescore)
app.command()(convert)

ARCHIVE = typer.Argument(metavar="ARCHIVE", help="A recording, an Avro container, a folder of them, a .tar(.gz).")
JSON = typer.Option(False, "--json", help="Print one JSON object.")
SPLIT = typer.Option(False, "--split", help="Make each block of a container a message of its own.")


@app.command()
def produce(
    archive: Path = ARCHIVE,
    topic: str = typer.Option(..., "--topic", "-t", help="Topic to produce to."),
    bootstrap: str = typer.Option(None, help="Kafka bootstrap servers, host:port[,host:port]."),
    create: int = typer.Option(None, metavar="PARTITIONS", help="Create the topic if it does not exist."),
    rate: float = typer.Option(None, help="Messages per second; flat out by default."),
    speed: float = typer.Option(None, help="Original intervals: 1 is real time, 60 an hour in a minute."),
    loop: int = typer.Option(1, help="How often to send the archive."),
    limit: int = typer.Option(None, help="Stop after this many messages."),
    window: str = typer.Option(None, help="Only messages of this time: a UTC date, or START/END as ISO times."),
    where: list[str] = typer.Option(
        [], metavar="CONDITION", help="Only messages with a record of which all hold, such as 'candidate.magpsf < 18'."
    ),
    yes_into: str = typer.Option(
        None, metavar="TOPIC", help="Produce although TOPIC is one that a survey, a consumer or the recording uses."
    ),
    keep_timestamps: bool = typer.Option(
        False, "--keep-timestamps", help="Original times as Kafka timestamps, where the topic keeps such old messages."
    ),
    split: bool = SPLIT,
    kafka: list[str] = typer.Option([], metavar="NAME=VALUE", help="librdkafka setting; secrets by FULGOR_KAFKA_..."),
    config: Path = typer.Option(None, help="Config file."),
    as_json: bool = JSON,
) -> None:
    """Send an archive to a topic, each file one message, and wait until the broker has all of it.

    A recorded message keeps key and headers; a file's key is its name in the archive. The Kafka timestamp is now,
    the header fulgor-time-ms holds the original time.
    """
    from fulgor.consumer.kafkaadmin import Cluster
    from fulgor.consumer.settings import load_settings
    from fulgor.consumer.stopping import Stopping, stopped_by_signals
    from fulgor.replay.archive import open_archive
    from fulgor.replay.archived import require_whole
    from fulgor.replay.produce import ProduceOptions
    from fulgor.replay.produce import produce as send
    from fulgor.replay.selection import Selection, parse_condition
    from fulgor.replay.topic import refuse_production
    from fulgor.replay.window import parse_window

    selection = Selection(parse_window(window) if window else None, [parse_condition(text) for text in where])
    options = ProduceOptions(rate, speed, loop, limit, keep_timestamps, create, selection)
    opened = open_archive(archive, split=split)
    settings = load_settings({"bootstrap": bootstrap, "kafka": kafka_pairs(kafka)}, config=config)
    refuse_production(topic, _protected(settings, opened), yes_into)
    cluster = Cluster(settings.bootstrap, settings.kafka)
    stopping = Stopping()  # what is under way then is waited for and reported
    with stopped_by_signals(stopping), _progress(opened, loop, f"producing to {topic}") as show:
        report = send(opened, topic, cluster, options, lambda state: show(state.sent, state.rate), stopping)
    typer.echo(json.dumps(asdict(report) | {"rate": report.rate}) if as_json else _sentence(report))
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)
    require_whole(report.problems)


@app.command()
def inspect(archive: Path = ARCHIVE, split: bool = SPLIT, as_json: bool = JSON) -> None:
    """Decode all of an archive and count what is in it; leaves with code 9 when part of it cannot be read."""
    from fulgor.replay.archive import open_archive
    from fulgor.replay.archived import require_whole
    from fulgor.replay.inspect import inspect_archive

    opened = open_archive(archive, split=split)
    with _progress(opened, 1, "inspecting") as show:
        began = monotonic()
        found = inspect_archive(opened, lambda count: show(count, count / (monotonic() - began + 1e-9)))
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"identity": found.identity._asdict()}))
    else:
        _print(found)
    if found.failure:
        raise ArchiveError(found.failure)
    require_whole(found.problems)


def _protected(settings: Settings, archive: Archive) -> dict[str, str]:
    """Return the topics that a replay must not get into by mistake, each with what it is."""
    from fulgor.streams.registry import default_topics

    found = {topic: f"one that the {name} survey publishes on" for name, topic in default_topics().items()}
    found |= dict.fromkeys(archive.topics, "the topic that this was recorded from")
    return found | ({settings.topic: "the topic that the settings tell consumers to read"} if settings.topic else {})


@contextmanager
def _progress(archive: Archive, loop: int, what: str) -> Iterator[Callable[[int, float], None]]:
    """Show a bar on a terminal, nothing in a pipe: by messages where their number is known, else by bytes."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield lambda count, rate: None  # noqa: ARG005 - the bar's arguments
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[done]} messages, {task.fields[rate]:.0f}/s"),
    )
    total = archive.count * loop if archive.count is not None else None
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(what, total=total or archive.size, done=0, rate=0.0)

        def show(count: int, rate: float) -> None:
            progress.update(task, completed=count if total else archive.position, done=count, rate=rate)

        yield show


def _sentence(report: ProduceReport) -> str:
    megabytes = report.bytes / 1e6
    done = f"{report.delivered} messages ({megabytes:.1f} MB) delivered to topic {report.topic!r}"
    parts = [f"{done} ({report.partitions} partitions) in {report.seconds:.2f} s: {report.rate:.0f}/s"]
    if report.interrupted:
        parts.append(f"interrupted, {report.sent - report.delivered} of {report.sent} sent are not acknowledged")
    if report.without_time:
        parts.append(f"{report.without_time} without a time of their own")
    if report.lateness:
        parts.append(f"late by {report.lateness.median_ms:.2f} ms (median), {report.lateness.p99_ms:.2f} ms (p99)")
    if report.passed_over:
        parts.append(f"{report.passed_over} not selected")
    if report.others:
        parts.append(f"not sent: {_listed(report.others)}")
    return "; ".join(parts)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in counts.items())


def _print(found: Inspection) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, title=escape(found.identity.path), title_justify="left")
    for name, value in _rows(found):
        table.add_row(name, escape(value))
    console = Console()
    console.print(table)
    if found.undecodable:
        reasons = Table(
            "count", "stage", "first such message", "reason", box=None, title="does not decode", title_justify="left"
        )
        for kind in found.undecodable:
            reasons.add_row(str(kind.count), kind.stage, escape(kind.example), escape(kind.reason))
        console.print(reasons)


def _rows(found: Inspection) -> Iterator[tuple[str, str]]:
    nights = list(found.nights)
    yield (
        "messages",
        f"{found.messages}, {found.bytes / 1e6:.1f} MB; median {found.size_median} B, largest {found.size_max} B",
    )
    yield "records", f"{found.records}, of which {found.alerts} decode ({found.repeated} with an id seen before)"
    yield "objects", str(found.objects)
    if found.jd_first is not None:
        yield "jd", f"{found.jd_first:.5f} to {found.jd_last:.5f}"
        yield "nights", f"{len(nights)}, {nights[0]} to {nights[-1]}"
        yield "bands", _listed(found.bands)
        yield "programmes", _listed(found.programs)
        yield "schema versions", f"{_listed(found.schema_versions)}; {found.schemas} distinct schemas"
    yield "codecs", _listed(found.codecs)
    if found.others:
        yield "other files", _listed(found.others)
    yield from (("problem", problem) for problem in found.problems)
