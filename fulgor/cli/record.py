"""``fulgor replay record|check``: topics into recordings, and whether a recording is whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

import typer

from fulgor.cli.logs import set_up_logging
from fulgor.cli.output import jsonable
from fulgor.cli.pairs import kafka_pairs

if TYPE_CHECKING:
    from fulgor.consumer.settings import Settings
    from fulgor.replay.record.check import Check
    from fulgor.replay.record.identify import Identify
    from fulgor.replay.record.report import RecordReport
    from fulgor.replay.window import Window

__all__ = ["check", "record"]

JSON = typer.Option(False, "--json", help="Print one JSON object.")
STREAM = typer.Option("ztf", help="Instrument whose ids the index holds; 'none' for messages that none decodes.")


def record(
    topic: str = typer.Argument(help="Topic, or a pattern that begins with ^."),
    out: Path = typer.Option(..., metavar="RECORDING", help="Folder; gone on with where it holds a recording."),
    stream: str = STREAM,
    bootstrap: str = typer.Option(None, help="Kafka bootstrap servers."),
    group: str = typer.Option(None, help="Consumer group; by default the folder's own, shared by its recorders."),
    start: str = typer.Option("earliest", "--from", help="Where to begin: earliest, latest, ISO time."),
    window: str = typer.Option(None, help="Only messages of this time: a UTC date, or START/END as ISO times."),
    until_end: bool = typer.Option(False, "--until-end", help="Stop at the end of every partition."),
    roll_mb: int = typer.Option(256, min=1, max=65_536, help="Close a file at this size, MiB."),
    roll_s: float = typer.Option(300.0, min=0.1, max=86_400, help="Close a file at this age: a crash reads it again."),
    kafka: list[str] = typer.Option(None, metavar="NAME=VALUE", help="librdkafka setting; secrets by FULGOR_KAFKA_..."),
    config: Path = typer.Option(None, help="Config file."),
    as_json: bool = JSON,
) -> None:
    """Record a topic into Parquet files, each message in exactly one, until stopped or to its end.

    Start it again to go on, after whatever has ended it; start it on several machines that share the folder to
    share the work.
    """
    from fulgor.consumer.settings import load_settings
    from fulgor.consumer.stopping import Stopping, stopped_by_signals
    from fulgor.replay.record.report import RecordOptions
    from fulgor.replay.record.run import record as run
    from fulgor.replay.window import parse_window

    set_up_logging(verbose=False)
    settings = load_settings({"bootstrap": bootstrap, "kafka": kafka_pairs(kafka)}, config=config)
    wanted = parse_window(window) if window else None
    options = RecordOptions(
        group or "", start, wanted, roll_mb << 20, roll_s, until_end=until_end or _is_past(wanted)
    )  # fmt: skip
    stopping = Stopping()
    with stopped_by_signals(stopping), _progress(f"recording {topic}") as show:
        report = run(topic, out, settings, options, _identify(stream, settings), stopping, show)
    if as_json:
        typer.echo(json.dumps({**jsonable(asdict(report)), "rate": report.rate}))
    else:
        typer.echo(_sentence(report, out))


def check(
    recording: Path = typer.Argument(metavar="RECORDING", help="Folder that fulgor replay record wrote."),
    repair: bool = typer.Option(False, help="Remove what dead recorders left, and make missing indexes."),
    stream: str = STREAM,
    config: Path = typer.Option(None, help="Config file."),
    as_json: bool = JSON,
) -> None:
    """Read all of a recording against its checksums and account for every offset; leaves with 9 if it is not whole."""
    from fulgor.consumer.settings import load_settings
    from fulgor.replay.archived import require_whole
    from fulgor.replay.record.check import check_recording

    identify = _identify(stream, load_settings({}, config=config)) if repair else None
    found = check_recording(recording, identify)
    typer.echo(json.dumps(jsonable(asdict(found))) if as_json else "\n".join(_lines(found)))
    require_whole(found.problems())


def _identify(stream: str, settings: Settings) -> Identify:
    from fulgor.replay.record.identify import identify_by, identify_nothing, identify_ztf
    from fulgor.streams.registry import instrument

    if stream == "none":
        return identify_nothing
    return identify_ztf if stream == "ztf" else identify_by(instrument(stream, settings))


def _is_past(window: Window | None) -> bool:
    return window is not None and window.end_ms is not None and window.end_ms < time() * 1000


@contextmanager
def _progress(title: str) -> Iterator[Callable[[RecordReport, int], None]]:
    """Show one line on a terminal, nothing in a pipe."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield lambda report, pending: None  # noqa: ARG005 - the line's arguments
        return
    with console.status(Text(title)) as status:  # a pattern is no markup

        def show(report: RecordReport, pending: int) -> None:
            done = f"{report.messages} messages in {report.files} files, {pending} in unfinished ones"
            status.update(Text(f"{title}: {done}"))

        yield show


def _sentence(report: RecordReport, out: Path) -> str:
    done = f"{report.messages} messages ({report.bytes / 1e6:.1f} MB) in {report.files} files of {out}"
    parts = [f"{done} in {report.seconds:.2f} s: {report.rate:.0f}/s"]
    for count, what in (
        (report.known, "recorded before"),
        (report.outside, "outside of the window"),
        (report.lost, "offsets expired before they were read"),
    ):
        if count:
            parts.append(f"{count} {what}")
    return "; ".join(parts)


def _lines(found: Check) -> Iterator[str]:
    size = f"{found.bytes / 1e6:.1f} MB"
    yield f"{found.messages} messages ({size}) in {found.files} files, {found.indexed} rows in the index"
    for span in found.partitions:
        missing = "".join(f", {first} to {after - 1} missing" for first, after in span.missing)
        offsets = f"offsets {span.first} to {span.after - 1}, {span.messages} messages"
        yield f"{span.topic}[{span.partition}]: {offsets}{missing}"
    for name in found.unfinished:
        yield f"unfinished: {name}"
