"""``fulgor ledger``: what became of every message, and whether it adds up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from fulgor.cli.output import JSON, emit, jsonable
from fulgor.cli.session import DATABASE, STREAM, opened
from fulgor.errors import LedgerError

if TYPE_CHECKING:
    from fulgor.storage.ledger import Report

__all__ = ["ledger"]

_COLUMNS = (
    "group", "topic", "partition", "segment", "first_offset", "next_offset",
    "stored", "duplicates", "dead", "empty", "skipped", "sealed", "shadow",
)  # fmt: skip


def ledger(
    check: bool = typer.Option(False, "--check", help="Recount from rows; leave with code 10 if it does not close."),
    stream: str = STREAM,
    group: str = typer.Option(None, "--group", help="Only this consumer group's."),
    limit: int = typer.Option(100, "--limit", min=1, help="Most findings to name."),
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Show what became of the messages of each partition; with --check, prove that each is accounted for once."""
    from fulgor.storage import ledger as book

    with opened(database) as connection:
        if not check:
            accounts = book.read_accounts(connection, stream=stream, group=group)
            emit(accounts, _COLUMNS, as_json=as_json)
            return
        report = book.check(connection, stream=stream, group=group, limit=limit)
    _print(report, as_json=as_json)
    if not report.closed:
        more = len(report.findings) - 1
        others = f" (and {more}{' or more' if len(report.findings) == limit else ''} other findings)" if more else ""
        raise LedgerError(f"the ledger does not close: {report.findings[0]}{others}")


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"closed": report.closed, **jsonable(report)}, allow_nan=False))
        return
    emit(report.accounts, _COLUMNS, as_json=False)
    for finding in report.findings:
        typer.echo(f"! {finding}")
    for warning in report.warnings:
        typer.echo(f"? {warning}")
    if report.closed:
        typer.echo("the ledger closes")
