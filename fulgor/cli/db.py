"""``fulgor db``: the embedded Postgres of this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from fulgor.embedded.postgres import EmbeddedPostgres, PostgresStatus

__all__ = ["app"]

app = typer.Typer(
    help="The embedded Postgres of this machine ($FULGOR_HOME), and the tables in any Postgres.", no_args_is_help=True
)

JSON = typer.Option(False, "--json", help="Print one JSON object.")


@app.command()
def up(
    port: int = typer.Option(None, help="Listen on this port of 127.0.0.1; by default a free one, kept for later."),
    as_json: bool = JSON,
) -> None:
    """Start it unless it runs, and wait until it takes connections."""
    server = _embedded(port)
    url = server.up()
    status = server.status()
    if as_json:
        typer.echo(json.dumps(_described(status) | {"url": url}))
    else:
        typer.echo(f"Postgres runs on 127.0.0.1:{status.port}, data in {status.data}")
        typer.echo("'fulgor db url' prints its address with the password, 'fulgor db down' stops it")


@app.command()
def down(as_json: bool = JSON) -> None:
    """Stop it; the data stays."""
    stopped = _embedded().down()
    if as_json:
        typer.echo(json.dumps({"stopped": stopped}))
    else:
        typer.echo("Postgres stopped" if stopped else "Postgres was not running")


@app.command()
def status(as_json: bool = JSON) -> None:
    """Say whether it runs, and where; leaves with code 1 when it does not."""
    found = _embedded().status()
    if as_json:
        typer.echo(json.dumps(_described(found)))
    elif found.running:
        typer.echo(f"Postgres runs on 127.0.0.1:{found.port} (process {found.pid}), data in {found.data}")
    else:
        typer.echo(f"Postgres does not run in {found.home}: 'fulgor db up' starts it")
    if not found.running:
        raise typer.Exit(1)


@app.command()
def url(as_json: bool = JSON) -> None:
    """Print the URL of the running server, password included, for --database and for other programs."""
    address = _embedded().url()
    typer.echo(json.dumps({"url": address}) if as_json else address)


def _embedded(port: int | None = None) -> EmbeddedPostgres:
    """Return the embedded Postgres; imported late, for every command pays for what this module imports."""
    from fulgor.embedded.postgres import EmbeddedPostgres

    return EmbeddedPostgres(port=port)


def _described(found: PostgresStatus) -> dict[str, str | int | bool | None]:
    return {
        "running": found.running,
        "pid": found.pid,
        "port": found.port,
        "home": str(found.home),
        "data": str(found.data) if found.data else None,
        "log": str(found.log) if found.log else None,
    }


@app.command()
def migrate(
    database: str = typer.Option(None, help="Postgres URL, without a password; by default the embedded one."),
    partition_by: str = typer.Option(
        "day", help="Width of the partitions of streams new to this database: day or month."
    ),
    as_json: bool = JSON,
) -> None:
    """Create the tables, or bring them to this program's version; safe to run again."""
    from fulgor.cli.services import given_database
    from fulgor.errors import SettingsError
    from fulgor.storage.database import connect, translated
    from fulgor.storage.migrate import migrate as apply
    from fulgor.streams.registry import instrument_names, stream_table

    if partition_by not in ("day", "month"):
        raise SettingsError(f"--partition-by {partition_by!r}: give day or month")
    address = given_database(database)
    tables = [stream_table(name) for name in instrument_names()]
    with translated(address), connect(address, application="fulgor migrate", vectors=False) as connection:
        applied = apply(connection, tables, partition_by=partition_by)
    if as_json:
        typer.echo(json.dumps({"applied": applied}))
    else:
        typer.echo(f"applied: {', '.join(applied)}" if applied else "nothing to do: the tables are up to date")


@app.command()
def prune(
    before: str = typer.Option(..., "--before", metavar="NIGHT", help="First day to keep, UTC: 2026-03-01."),
    stream: str = typer.Option(None, "--stream", help="Only this instrument's."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would be dropped."),
    idle: float = typer.Option(60.0, "--idle", min=0, help="Refuse a night that got a row so many minutes ago."),
    database: str = typer.Option(None, help="Postgres URL, without a password; by default the embedded one."),
    as_json: bool = JSON,
) -> None:
    """Drop old nights whole; the ledger keeps their counts, dead letters stay. Consumers may go on meanwhile."""
    from datetime import date, timedelta

    from fulgor.cli.output import emit
    from fulgor.cli.services import given_database
    from fulgor.errors import SettingsError
    from fulgor.storage import prune as pruning
    from fulgor.storage.database import connect, translated
    from fulgor.storage.migrate import check_core

    try:
        day = date.fromisoformat(before)
    except ValueError:
        raise SettingsError(f"--before {before!r}: write a UTC day, such as 2026-03-01") from None
    address = given_database(database)
    with translated(address), connect(address, application="fulgor prune", vectors=False) as connection:
        check_core(connection)
        nights = pruning.find_nights(connection, day, stream=stream)
        if not dry_run:
            nights = [pruning.prune(connection, night, idle=timedelta(minutes=idle)) for night in nights]
    emit(nights, ("stream", "first", "after", "rows", "bytes", "last_stored"), as_json=as_json)
