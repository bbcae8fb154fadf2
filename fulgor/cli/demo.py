"""``fulgor demo``: the whole pipeline on this machine alone, in one command."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from fulgor.demo.report import DemoReport

__all__ = ["demo"]

FEWEST, MOST = 20, 20_000


def demo(
    count: int = typer.Option(2000, "--count", "-n", min=FEWEST, max=MOST, help="Alerts of the simulated night."),
    out: Path = typer.Option(Path("demo"), help="Folder for the picture."),
    model: Path = typer.Option(None, help="Folder of a model; by default the one that ships with fulgor."),
    device: str = typer.Option(None, help="auto, cpu or cuda."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log more."),
) -> None:
    """Run everything on embedded servers: broker, Postgres, a simulated night, the consumer, a picture.

    Each run simulates the next night. The broker ends with it; Postgres and its rows stay.
    """
    from fulgor.cli.logs import set_up_logging
    from fulgor.demo.run import Options, run_demo

    set_up_logging(verbose=verbose)
    if not verbose:
        logging.getLogger("fulgor").setLevel(logging.WARNING)
    # A service manager's stop is a Ctrl-C: the broker and the simulation are ended in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _told(quiet=as_json) as teller:
        report = run_demo(Options(count, out, model, device), teller)
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    else:
        _print(report)
    if not report.ledger_closed:
        from fulgor.errors import LedgerError

        raise LedgerError(f"the ledger of group {report.group} does not close: {'; '.join(report.findings)}")


class _Teller:
    """Steps on stdout as they are done, and a bar on stderr where that is a terminal."""

    def __init__(self, bar: Progress | None, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar = bar
        self._task = bar.add_task("simulating", total=None, visible=False) if bar is not None else None

    def step(self, what: str, detail: str) -> None:
        if not self._quiet:
            typer.echo(f"{what:>9}  {detail}")

    def simulated(self, done: int, total: int) -> None:
        if self._bar is None or self._task is None:
            return
        self._bar.update(self._task, completed=done, total=total, visible=done < total)
        # One live line at a time: the consumer's status line comes next.
        if done < total:
            self._bar.start()
        else:
            self._bar.stop()


@contextmanager
def _told(*, quiet: bool) -> Iterator[_Teller]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield _Teller(None, quiet=quiet)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    try:
        yield _Teller(bar, quiet=quiet)
    finally:
        bar.stop()


def _print(report: DemoReport) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    console.print()
    for name, value in _figures(report):
        console.print(f"[bold]{name:>9}[/]  {escape(value)}")  # what a dead letter says is no markup
    console.print()
    console.print(_classes(report))
    console.print()
    console.print(_strangest(report))
    console.print()
    _next(console, report)


def _figures(report: DemoReport) -> Iterator[tuple[str, str]]:
    dead = sum(kind.count for kind in report.dead)
    yield (
        "messages",
        (
            f"{report.messages:,}: {report.stored:,} stored, {report.duplicates} duplicates, {dead} dead letters"
            f" ({report.broken} were broken on purpose, {report.repeated} sent twice)"
        ),
    )
    for kind in report.dead:
        yield "", f"{kind.count} x {kind.stage}: {_short(kind.reason)}"
    yield "ledger", "closed: every message is accounted for exactly once" if report.ledger_closed else "DOES NOT CLOSE"
    yield "speed", f"{report.backlog_rate:,.0f} alerts/s over a backlog of {report.backlog:,}, one process"
    yield (
        "latency",
        (
            f"p50 {report.latency_p50:.3f} s, p99 {report.latency_p99:.3f} s from creation to committed row,"
            f" over {report.live} alerts that arrived one by one"
        ),
    )
    total = sum(report.stage_seconds.values()) or 1.0
    shares = ", ".join(f"{stage} {seconds / total:.0%}" for stage, seconds in report.stage_seconds.items())
    yield "time", f"{shares}; everything together took {report.seconds:.0f} s"
    yield "picture", report.picture


def _short(text: str, most: int = 110) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, title_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column in ("class", "object", "simulated as") else "right")
    return table


def _classes(report: DemoReport) -> Table:
    title = f"Classes against the simulated truth: {report.accuracy:.1%} agree"
    table = _table(title, "class", "simulated", "found", "right")
    for name, (simulated, found, right) in report.classes.items():
        table.add_row(name, f"{simulated:,}", f"{found:,}", f"{right:,}")
    return table


def _strangest(report: DemoReport) -> Table:
    table = _table("The strangest of the night", "alert", "object", "class", "p", "anomaly", "simulated as")
    for row in report.strangest:
        table.add_row(row.alert, row.object, row.class_name, f"{row.probability:.2f}", f"{row.anomaly:.4f}", row.truth)
    return table


def _next(console: Console, report: DemoReport) -> None:
    console.print("[bold]What to type next[/]")
    alert = report.strangest[0].alert if report.strangest else "ALERT"
    query = "SELECT class, count(*), avg(anomaly) FROM ztf_alerts GROUP BY class"
    for command, meaning in (
        ("fulgor latents anomalies", "the strangest alerts of all nights"),
        (f"fulgor latents nearest {alert}", "what looks like the strangest one"),
        ("fulgor dead list", "what could not be read, and why"),
        ("fulgor ledger --check", "recount every message from rows"),
        (f'psql "$(fulgor db url)" -c "{query}"', "SQL"),
        ("fulgor demo", "the next night"),
        ("fulgor db down", "stop Postgres; its rows stay"),
    ):
        console.print(f"  {command}  [dim]# {meaning}[/]", markup=True)
